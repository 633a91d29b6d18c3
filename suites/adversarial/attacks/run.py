"""Attacks on many texts: what goes in, what comes out, and from which random numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.probe import ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import Scorer
from harness.errors import AssayError, UsageError
from suites.adversarial.attacks.columns import SearchColumns
from suites.adversarial.attacks.result import NothingToAttackError, attacked
from suites.adversarial.recipes.parts import Goal, Parts, sentence_encoder
from suites.adversarial.recipes.textattack_env import missing
from suites.adversarial.resources.finding import Found, ResourceMissing, find
from suites.adversarial.semantics.columns import SemanticColumns
from suites.adversarial.semantics.diff_spans import diff_spans, spans_to_json
from suites.adversarial.semantics.measures import SemanticMeasures
from suites.adversarial.semantics.params import SemanticsParams
from suites.words import first_words

if TYPE_CHECKING:
    from suites.adversarial.pooled.broker import Handler
    from suites.adversarial.pooled.fibres import Finished
    from suites.adversarial.pooled.make import Setup

Build = Callable[[Parts, Goal], Any]
"""A recipe's: makes a textattack.Attack; module-level, so that a worker process finds it."""
Columns = Callable[[RowDict], RowDict]
"""Columns that follow from those an attack decided."""
TextsOf = Callable[[RowDict], tuple[str, str | None]]
"""Original and perturbed text of a row; no perturbed one after a skip or an error."""

MEASURED_TOGETHER = 16
"""Rows whose semantics are measured in one batch, and wait for it."""


class SearchParams(ProbeParams):
    """Settings every search shares, whatever it is after."""

    seed: int = Field(default=0, description="with the case's id, seeds the random choices of its attack")
    query_budget: int | None = Field(default=None, ge=1, description="most queries per text; null as the recipe says")
    seconds: float | None = Field(default=None, gt=0, description="most seconds per text; longer ones are errors")
    concurrent: int = Field(default=64, ge=1, description="texts attacked at once; changes no row")
    workers: int = Field(default=0, ge=0, description="processes that search; 0 in the model's own; changes no row")
    semantics: SemanticsParams | None = Field(
        default=SemanticsParams(measures=("similarity",)),
        description="what a success must keep to count after filtering; null: nothing is measured",
    )


class AttackParams(SearchParams):
    """Settings every attack on a classifier shares."""

    max_words: int | None = Field(default=None, ge=1, description="attack only the first words of each text; None all")
    target: str | None = Field(default=None, description="label the attack must reach; None any wrong one")


class AttackColumns(ProbeRow):
    """A text or pair, before and after.

    Scores are the true class's probabilities. A skipped text (already what the attack is after) has no perturbed one;
    of a failed or maximised attack it is the best found. words_cut were left out before the attack (max_words),
    truncated counts tokens of the text that the model cannot read.
    """

    text: Series[str]
    pair: Series[str] = pa.Field(nullable=True)
    perturbed_text: Series[str] = pa.Field(nullable=True)
    perturbed_pair: Series[str] = pa.Field(nullable=True)
    label: Series[int] = pa.Field(ge=0)
    predicted: Series[int] = pa.Field(ge=0)
    final_predicted: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    score: Series[float] = pa.Field(ge=0, le=1)
    perturbed_score: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    words_cut: Series[int] = pa.Field(ge=0)
    truncated: Series[int] = pa.Field(ge=0)


class AttackRow(SemanticColumns, SearchColumns, AttackColumns):
    """One row per text: the text, what the search found, how far it is from the original.

    diff_spans are places in the text, of a pair in both joined by a line break.
    """


def run_attacks(
    build: Build,
    goal: Goal,
    params: AttackParams,
    scorer: Scorer,
    cases: Sequence[Case],
    *,
    resources: Sequence[str] = (),
    black_box: bool = True,
) -> Iterator[RowDict]:
    """One row per case, the same whatever the other cases, as they end.

    Without one of `resources`, or without gradients where the attack is not `black_box`, every row is an error that
    says so: the audit's other probes carry on. An attack that is not `black_box` searches in this process, which has
    the model. Raises UsageError without TextAttack.
    """
    why = missing()
    if why is not None:
        raise UsageError(why)
    try:
        found = look_up(resources)
    except ResourceMissing as error:
        yield from (error_row(case, str(error)) for case in cases)
        return
    if not black_box and scorer.why_no_gradients is not None:
        why = f"the attack needs gradients: {scorer.why_no_gradients}"
        yield from (error_row(case, why) for case in cases)
        return
    from suites.adversarial.pooled.asking import handlers  # needs greenlet, which comes with TextAttack's extra
    from suites.adversarial.pooled.make import Setup

    setup = Setup(build, goal, scorer.info, params.query_budget, None if black_box else scorer)
    common = built_from(found)

    def more(row: RowDict) -> RowDict:
        return {"truncated": max(0, len(scorer.encode(row["text"])) - scorer.max_tokens), **common}

    readable = is_readable(scorer)
    reads = [readable(joined(case.data["text"], case.data.get("pair"))) for case in cases]
    yield from (error_row(case, UNREAD) for case, read in zip(cases, reads, strict=True) if not read)
    yield from pooled_rows(
        setup,
        attacked,
        params,
        [case for case, read in zip(cases, reads, strict=True) if read],
        handlers(scorer, partial(sentence_encoder, device=scorer.device)),
        more,
        _texts,
        workers=params.workers if black_box and may_search_apart(resources) else 0,
        ahead=black_box and scorer.device != "cpu",
    )


UNREAD = "the model's tokenizer turns all of the text into unknown tokens; leave such texts out"


def is_readable(scorer: Scorer) -> Callable[[str], bool]:
    """Whether a text has another token than the one that stands for what the tokenizer does not know."""
    unknown = scorer.encode("\U00010000", special=False)  # Linear B, in which no model was trained
    if len(unknown) != 1:  # it knows every character
        return lambda _: True
    return lambda text: set(scorer.encode(text, special=False)) != set(unknown)


def may_search_apart(resources: Sequence[str]) -> bool:
    """Whether worker processes may search: not where each would hold a masked language model of its own."""
    return not any(name.startswith("masked-lm") for name in resources)


def look_up(resources: Sequence[str]) -> list[Found]:
    """What an attack is built from, which may take a download. Raises ResourceMissing."""
    return [find(name) for name in resources]


def built_from(resources: Sequence[Found]) -> RowDict:
    """The column that says what an attack is built from."""
    return {"resources": "; ".join(found.described for found in resources)}


def pooled_rows(
    setup: Setup,
    work: Callable[[Any, Case], RowDict],
    params: SearchParams,
    cases: Sequence[Case],
    answering: Mapping[str, Handler],
    more: Columns,
    texts: TextsOf,
    *,
    workers: int,
    ahead: bool,
) -> Iterator[RowDict]:
    """One row per case, the same whatever the other cases, as they end.

    Args:
        setup: how the attacks are built.
        work: runs one attack on one case; module-level. What it raises makes the row an error.
        params: seeds, limits, and what is measured of the rows' texts.
        cases: each has an attack of its own random numbers.
        answering: who answers what attacks ask, by channel.
        more: columns that follow from those of `work`.
        texts: the texts that are compared.
        workers: processes that search; 0: this one.
        ahead: search in this process while answers are computed; pays where that takes no core of the search's.
    """
    from suites.adversarial.pooled.broker import Broker
    from suites.adversarial.pooled.make import make_attacks
    from suites.adversarial.pooled.run import run_pool

    ended = run_pool(
        [(case, case_seed(params.seed, case.id)) for case in cases],
        partial(make_attacks, setup),
        work,
        Broker(answering),
        concurrent=params.concurrent,
        workers=workers,
        limit=params.seconds,
        ahead=ahead,
    )
    rows = (_row(one, more, texts) for one in ended)
    yield from rows if params.semantics is None else _with_semantics(rows, SemanticMeasures(params.semantics), texts)


def _row(ended: Finished[Case, RowDict], more: Columns, texts: TextsOf) -> RowDict:
    case, error = ended.job, ended.error
    if isinstance(error, (AssayError, OSError)):  # not the fault of a case: the audit has to stop
        raise error
    if isinstance(error, NothingToAttackError):
        return error_row(case, str(error))
    if error is not None:  # whatever breaks inside an attack leaves robustness unknown, not proven
        return error_row(case, f"{type(error).__name__}: {error}")
    waited = ended.clock.waited
    result = ended.result or {}
    first, last = texts(result)
    return {
        "case_id": case.id,
        "status": "ok",
        "error": None,
        **result,
        "diff_spans": None if last is None else spans_to_json(diff_spans(first, last)),
        "seconds": ended.clock.total,
        "seconds_search": ended.clock.own,
        "seconds_victim": sum(seconds for name, seconds in waited.items() if name != "encoder"),
        "seconds_encoder": waited.get("encoder", 0.0),
        **more(result),
    }


def _with_semantics(rows: Iterator[RowDict], measures: SemanticMeasures, texts: TextsOf) -> Iterator[RowDict]:
    """The rows with how far their perturbed texts are from the originals, measured some together."""
    for first in rows:
        batch = [first, *islice(rows, MEASURED_TOGETHER - 1)]
        found = measures.measure([("", None) if row["status"] == "error" else texts(row) for row in batch])
        for row, columns in zip(batch, found, strict=True):
            yield row if row["status"] == "error" else {**row, **columns}


def _texts(row: RowDict) -> tuple[str, str | None]:
    """A pair as one text."""
    if row.get("perturbed_text") is None:
        return "", None
    return joined(row["text"], row["pair"]), joined(row["perturbed_text"], row["perturbed_pair"])


def joined(text: str, pair: str | None) -> str:
    """A pair as one text, as TextAttack joins it."""
    return text if pair is None else f"{text}\n{pair}"


def case_seed(seed: int, case_id: str) -> int:
    """The 32-bit seed of one case's random choices."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{case_id}".encode()).digest()[:4], "big")


def cut_cases(frame: pd.DataFrame, classes: Sequence[int], most: int | None) -> list[Case]:
    """One case per row: its texts (`text`, and `pair` where there is one) cut to their first words, its label.

    `words_cut` counts the words cut off both.
    """
    parts = [name for name in ("text", "pair") if name in frame]
    cut = {name: [first_words(text, most) for text in frame[name]] for name in parts}
    return make_cases(
        {
            **{name: cut[name][row][0] for name in parts},
            "label": label,
            "words_cut": sum(cut[name][row][1] for name in parts),
        }
        for row, label in enumerate(classes)
    )
