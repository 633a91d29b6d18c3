"""bias/honest: how many of a model's likeliest words for a person are hurtful, by a lexicon."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, content_id, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import By, Computed, ControlRows, MeanOf, Named, Rows, of
from harness.api.estimates import UNIT
from harness.api.lists import as_list
from harness.api.metrics import Better, Metric
from harness.api.models import Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.likeliest import MOST, LikelyTokens, MaskedTokensRequest, NextTokensRequest
from harness.api.scorer import GenerateRequest, Scorer
from harness.errors import WrongDataError
from suites.bias.alike import unlike
from suites.bias.coreference.sentences import own_rows
from suites.bias.extremes import farthest, largest_difference, level_for
from suites.bias.fairness.rates import mean_estimate
from suites.bias.slots import NEUTRAL, located
from suites.framing import causal_frame, masked_frame, require_start

SLOT = "[M]"
CAUSAL, MASKED = "causal", "masked"
WORD_TOKENS = 4
"""Further tokens that a causal model may write to end a word it began."""
_HOLD = "x"
"""What stands in the slot while the text is tokenised; it is masked before the model reads it."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
"""The first word of a completion: letters, with apostrophes and hyphens inside."""


class HonestTemplates(pa.DataFrameModel):
    """Templates with [M] where the model completes them, and the group of people they are about (columns of HONEST)."""

    template_masked: Series[str] = pa.Field(coerce=True)
    identity: Series[str] = pa.Field(coerce=True)
    category: Series[str] = pa.Field(coerce=True)


class HurtfulWords(pa.DataFrameModel):
    """Words that count as hurtful; case does not matter."""

    word: Series[str] = pa.Field(coerce=True)


class HonestParams(ProbeParams):
    """Settings."""

    k: int = Field(default=20, ge=1, le=MOST, description="completions looked at (1, 5 and 20 in the paper)")


class HonestRow(ProbeRow):
    """One row per template."""

    kind: Series[str] = column("kind of model, which decides how it completes", isin=[CAUSAL, MASKED], of_case=True)
    template: Series[str] = column("the template with [M] for the completion", of_case=True)
    identity: Series[str] = column("whom it is about; rows that share one are related", of_case=True)
    category: Series[str] = column("group of people; '' for a control", of_case=True)
    control: Series[bool] = column("whether a neutral noun stands for the person", of_case=True)
    completions: Series[object] = list_column("the likeliest words, in order; '' where a token is no word", of="string")
    hurtful: Series[object] = list_column("those of them that the lexicon holds", of="string")
    k: Series[int] = column("completions looked at", ge=1, le=MOST, of_case=True)
    phrases: Series[pd.Int64Dtype] = column(
        "entries of the lexicon with several words, which no completion can be; empty where not known",
        nullable=True,
        ge=0,
    )

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """Shares are of k, so that no list may be longer."""
        sizes = {name: rows[name].map(lambda words: len(as_list(words))) for name in ("completions", "hurtful")}
        longer = {f"more words in {name!r} than its k": size > rows["k"] for name, size in sizes.items()}
        return {**longer, **unlike(rows, "kind", "k")}


def _hurtful_share(hurtful: pd.Series[Any], k: pd.Series[int]) -> list[float]:
    return [len(as_list(words)) / size for words, size in zip(hurtful, k, strict=True)]


def _no_word_share(completions: pd.Series[Any], k: pd.Series[int]) -> list[float]:
    return [as_list(words).count("") / size for words, size in zip(completions, k, strict=True)]


def _phrases(rows: Rows) -> str:
    """How much of the lexicon cannot be found; said once."""
    found = rows.counted["phrases"].dropna()
    count = int(found.iloc[0]) if len(found) and not rows.part else 0
    return f"{count} entries of the lexicon have several words, which no completion can be" if count else ""


def _spread(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """The largest difference between the shares of two groups, over the people that each group is named by."""
    mine = rows.good[~rows.good["control"].astype(bool)]
    shares = pd.Series(_hurtful_share(mine["hurtful"], mine["k"]), index=mine.index, dtype=float)
    level, means = level_for(mine["category"].nunique()), {}
    for group, values in shares.groupby(mine["category"]):
        people = mine.loc[values.index, "identity"].to_numpy(object)
        if (made := mean_estimate(values.to_numpy(np.float64), level, 1, UNIT, people)) is not None:
            means[str(group)] = made
    if len(means) < 2:
        yield named["group_difference"].none("fewer than two groups", missing=rows.missing)
        return
    value, interval, apart = largest_difference(means)
    n = int(mine["identity"].nunique())
    note = farthest(apart, "less") + (", the farthest apart" if apart[0] != apart[1] else "")
    yield named["group_difference"].value(value, interval, n, missing=rows.missing, note=note)


_CONTROL = ControlRows("control", "neutral nouns for the people")


class Honest(Probe[HonestParams]):
    """Hurtful completions of sentences about people."""

    name = "bias/honest"
    about = About(
        summary="Share of a model's k likeliest completions of sentences about people that a lexicon calls hurtful",
        paper="Nozza et al. 2021, HONEST",
        cannot_tell="what the lexicon does not hold, nor whether a word hurts where it stands: the built-in list has "
        "some 60 English nouns, HurtLex thousands, and shares compare under one lexicon and one k only; of a causal "
        "model the k likeliest next tokens count, each ended greedily, where the paper generates",
    )
    needs = (any_of(Need.MASKED_LM, Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        "templates": Input(
            HonestTemplates, "template_masked with [M], identity and category, instead of the built-in", required=False
        ),
        "lexicon": Input(
            HurtfulWords, "word: what counts as hurtful, such as HurtLex, instead of a short list", required=False
        ),
    }
    metrics = (
        MeanOf(
            *("honest", Better.LOWER, of(_hurtful_share, "hurtful", "k")),
            unit="rate",
            clusters="identity",
            slices=By(("category",)),
            control=_CONTROL,
            note=_phrases,
        ),
        MeanOf(
            *("no_word_share", Better.NEITHER, of(_no_word_share, "completions", "k")),
            unit="rate",
            headline=False,
            clusters="identity",
            control=_CONTROL,
        ),
        Computed((Named("group_difference", Better.LOWER, unit="rate", bounds=UNIT),), _spread, control=_CONTROL),
    )
    nothing = "no template could be completed"
    Params = HonestParams
    Row = HonestRow

    def cases(self, plan: Plan) -> list[Case]:
        """Each template, and for each sentence pattern the same about neutral nouns."""
        require_start(plan.checkpoint)
        kind = MASKED if Need.MASKED_LM in plan.checkpoint.offers else CAUSAL
        if "templates" in plan.data:
            rows: Sequence[Mapping[Any, Any]] = plan.data["templates"].frame.to_dict("records")
            source, text = plan.data["templates"].source.source, "template_masked"
        else:
            rows, source, text = own_rows("honest_templates.csv"), "honest_templates.csv", "template"
        digest = _digest(_lexicon(plan))
        items = [
            _checked(row, row[text], kind, f"{source}: row {number} of those used")
            for number, row in enumerate(rows, start=1)
        ]
        return make_cases({**item, "k": self.params.k, "lexicon": digest} for item in (*items, *_controls(items)))

    def prepare(self, models: Models, plan: Plan) -> None:
        """The lexicon, which is too long to stand in every case."""
        self.kept.value("lexicon", lambda: _lexicon(plan))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per template; all templates are completed together."""
        own = own_lexicon()
        is_own = all(case.data["lexicon"] == _digest(own) for case in cases)
        lexicon = frozenset(self.kept.value("lexicon", (lambda: own) if is_own else None))
        phrases = sum(len(entry.split()) > 1 for entry in lexicon)
        for kind, complete in ((MASKED, _complete_masked), (CAUSAL, _complete_causal)):
            mine = [case for case in cases if case.data["kind"] == kind]
            if mine:
                found = complete(scorer, mine)
                for case, words in zip(mine, found, strict=True):
                    yield _row(case, words, lexicon) | {"phrases": phrases}

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: the template once, for a causal model once more for each completion that is ended."""
        return sum(
            (len(case.data["template"]) // 4 + 3) * (1 if case.data["kind"] == MASKED else 1 + case.data["k"])
            for case in cases
        )


def own_lexicon() -> list[str]:
    """Assay's own short list."""
    return [row["word"] for row in own_rows("hurtful_words.csv")]


def _lexicon(plan: Plan) -> list[str]:
    words = plan.data["lexicon"].frame["word"] if "lexicon" in plan.data else own_lexicon()
    found = sorted({_folded(str(word)) for word in words} - {""})
    if all(len(entry.split()) > 1 for entry in found):
        raise WrongDataError(
            f"{plan.data['lexicon'].source.source}: holds no single word, so nothing could be hurtful; add some"
        )
    return found


def _folded(word: str) -> str:
    """As words are compared: accents in one code point (NFC), whatever the case."""
    return unicodedata.normalize("NFC", word).strip().lower()


def _digest(lexicon: Sequence[str]) -> str:
    return content_id({"words": list(lexicon)})


def _checked(row: Mapping[Any, Any], template: str, kind: str, where: str) -> dict[str, Any]:
    """A case of the template. Raises WrongDataError where it has no slot, or more than one."""
    if template.count(SLOT) != 1:
        raise WrongDataError(
            f"{where}: {template!r} has {template.count(SLOT)} times {SLOT}, needs it once; correct or leave it out"
        )
    said = {name: row[name] for name in ("identity", "category")}
    return {"kind": kind, "template": template, "control": False, **said}


def _controls(items: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each sentence pattern about each neutral noun; a pattern is a template without whom it is about."""
    patterns: dict[str, Mapping[str, Any]] = {}
    for item in items:
        identity, template = item["identity"], item["template"]
        if identity and identity in template.partition(SLOT)[0]:
            patterns.setdefault(template.replace(identity, "{}", 1), item)
    for pattern, item in patterns.items():
        for noun in NEUTRAL:
            shown = f"{'The' if pattern.startswith('{}') and item['identity'][0].isupper() else 'the'} {noun}"
            text = pattern.replace("{}", shown, 1)
            yield {**item, "template": text, "identity": f"the {noun}", "category": "", "control": True}


def _complete_masked(scorer: Scorer, cases: Sequence[Case]) -> list[list[str] | str]:
    """The k likeliest tokens behind the mask, as words; or what went wrong."""
    requests: list[MaskedTokensRequest | str] = []
    for case in cases:
        before, _, after = case.data["template"].partition(SLOT)
        text = f"{before}{_HOLD}{after}"
        placed = located(scorer, text, [(len(before), len(before) + len(_HOLD))])
        if isinstance(placed, str) or placed[1][0][1] - placed[1][0][0] != 1:
            requests.append(placed if isinstance(placed, str) else f"the tokenizer makes several tokens of {_HOLD!r}")
            continue
        framed = masked_frame(scorer, text)
        requests.append(MaskedTokensRequest(framed.whole, len(framed.before) + placed[1][0][0], case.data["k"]))
    answers = iter(scorer.ask([request for request in requests if not isinstance(request, str)]))
    return [each if isinstance(each, str) else _words(scorer, next(answers)) for each in requests]


def _words(scorer: Scorer, answer: LikelyTokens) -> list[str] | str:
    if answer.error is not None:
        return answer.error
    texts = (unicodedata.normalize("NFC", scorer.decode((token,))).strip() for token in answer.tokens)
    return [text if _WORD.fullmatch(text) else "" for text in texts]


def _complete_causal(scorer: Scorer, cases: Sequence[Case]) -> list[list[str] | str]:
    """The k likeliest next tokens, each continued greedily to the end of its word; or what went wrong."""
    prompts = [
        (scorer.start_token, *causal_frame(scorer, case.data["template"].partition(SLOT)[0].rstrip()).tokens)
        for case in cases
    ]
    asked = [NextTokensRequest(prompt, case.data["k"]) for prompt, case in zip(prompts, cases, strict=True)]
    likely = scorer.ask(asked)
    begun = [(*prompt, token) for prompt, answer in zip(prompts, likely, strict=True) for token in answer.tokens]
    ended = iter(scorer.ask([GenerateRequest(tokens, WORD_TOKENS) for tokens in begun]))
    found: list[list[str] | str] = []
    for answer in likely:
        written = list(islice(ended, len(answer.tokens)))
        why = answer.error or next((each.error for each in written if each.error is not None), None)
        words = [
            _first_word(scorer.decode((token, *each.tokens)))
            for token, each in zip(answer.tokens, written, strict=True)
        ]
        found.append(why if why is not None else words)
    return found


def _first_word(text: str) -> str:
    """The word that a completion begins with; '' where it begins with something else."""
    match = _WORD.match(unicodedata.normalize("NFC", text).lstrip())
    return match[0] if match else ""


def _row(case: Case, words: list[str] | str, lexicon: frozenset[str]) -> RowDict:
    if isinstance(words, str):
        return error_row(case, words)
    if len(words) < case.data["k"]:
        return error_row(case, f"k is {case.data['k']}, but the model's vocabulary has {len(words)} tokens; lower k")
    return ok_row(
        case,
        **{name: case.data[name] for name in ("kind", "template", "identity", "category", "control", "k")},
        completions=words,
        hurtful=[word for word in words if _folded(word) in lexicon],
    )
