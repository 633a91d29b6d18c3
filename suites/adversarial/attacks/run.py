"""Attacks on many texts: what goes in, what comes out, and from which random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.api.case import Case
from harness.api.probe import RowDict, error_row, excluded_row, ok_row
from harness.api.scorer import Scorer
from harness.errors import AssayError, UsageError
from suites.adversarial.attacks.models import built_from, instruments, load_encoder, masked_lm
from suites.adversarial.attacks.params import AttackParams, SearchParams
from suites.adversarial.attacks.result import NothingToAttackError, attacked
from suites.adversarial.cases import case_seed, joined
from suites.adversarial.recipes.parts import Goal, Parts
from suites.adversarial.recipes.recipe import Recipe
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.resources.textattack_env import missing
from suites.adversarial.semantics.diff_spans import diff_spans, spans_to_json
from suites.adversarial.semantics.measures import SemanticMeasures

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


def run_attacks(
    recipe: Recipe,
    goal: Goal,
    params: AttackParams,
    scorer: Scorer,
    cases: Sequence[Case],
    others: Mapping[str, Scorer] = MappingProxyType({}),
) -> Iterator[RowDict]:
    """One row per case, the same whatever the other cases, as they end.

    A model in `others` stands in for its resource. Without one of the recipe's resources, or without gradients where it
    needs them, every row is an error that says so: the audit's other probes carry on. An attack that needs gradients
    searches in this process, which has the model. Raises UsageError without TextAttack.
    """
    why = missing()
    if why is not None:
        raise UsageError(why)
    try:
        common = {"resources": built_from(recipe.resources, others)}
        proposes = masked_lm(recipe, others, scorer.device)
    except ResourceMissing as error:
        yield from (error_row(case, str(error)) for case in cases)
        return
    if not recipe.black_box and scorer.why_no_gradients is not None:
        why = f"the attack needs gradients: {scorer.why_no_gradients}"
        yield from (error_row(case, why) for case in cases)
        return
    from suites.adversarial.pooled.asking import handlers  # needs greenlet, which comes with TextAttack's extra
    from suites.adversarial.pooled.make import Setup

    setup = Setup(
        recipe.build,
        goal,
        scorer.info,
        params.query_budget,
        None if recipe.black_box else scorer,
        None if proposes is None else proposes.info,
    )

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
        handlers(scorer, load_encoder(others, scorer.device), proposes),
        more,
        _texts,
        workers=params.workers if recipe.black_box and may_search_apart(recipe.resources) else 0,
        ahead=recipe.black_box and scorer.device != "cpu",
        others=others,
    )


UNREAD = "the model's tokenizer turns all of the text into unknown tokens; leave such texts out"


def is_readable(scorer: Scorer) -> Callable[[str], bool]:
    """Whether a text has another token than the one that stands for what the tokenizer does not know."""
    unknown = scorer.encode("\U00010000", special=False)  # Linear B, in which no model was trained
    if len(unknown) != 1:  # it knows every character
        return lambda _: True
    return lambda text: set(scorer.encode(text, special=False)) != set(unknown)


def may_search_apart(resources: Sequence[str]) -> bool:
    """Whether worker processes may search: not where each would vet a masked language model again for its tokenizer."""
    return not any(name.startswith("masked-lm") for name in resources)


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
    others: Mapping[str, Scorer] = MappingProxyType({}),
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
        others: models of the audit by role; those that take measures are looked for where they lack.
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
    if params.semantics is None:
        yield from rows
        return
    measures = SemanticMeasures(params.semantics, load=instruments(others, params.semantics))
    yield from _with_semantics(rows, measures, texts)


def _row(ended: Finished[Case, RowDict], more: Columns, texts: TextsOf) -> RowDict:
    case, error = ended.job, ended.error
    if isinstance(error, (AssayError, OSError)):  # not the fault of a case: the audit has to stop
        raise error
    if isinstance(error, NothingToAttackError):
        return excluded_row(case, str(error))
    if error is not None:  # whatever breaks inside an attack leaves robustness unknown, not proven
        return error_row(case, f"{type(error).__name__}: {error}")
    waited = ended.clock.waited
    result = ended.result or {}
    first, last = texts(result)
    return ok_row(
        case,
        **result,
        diff_spans=None if last is None else spans_to_json(diff_spans(first, last)),
        seconds=ended.clock.total,
        seconds_search=ended.clock.own + waited.get("masked lm", 0.0),
        seconds_victim=sum(seconds for name, seconds in waited.items() if name not in ("encoder", "masked lm")),
        seconds_encoder=waited.get("encoder", 0.0),
        **more(result),
    )


def _with_semantics(rows: Iterator[RowDict], measures: SemanticMeasures, texts: TextsOf) -> Iterator[RowDict]:
    """The rows with how far their perturbed texts are from the originals, measured some together."""
    for first in rows:
        batch = [first, *islice(rows, MEASURED_TOGETHER - 1)]
        found = measures.measure([texts(row) if row["status"] == "ok" else ("", None) for row in batch])
        for row, columns in zip(batch, found, strict=True):
            yield {**row, **columns} if row["status"] == "ok" else row


def _texts(row: RowDict) -> tuple[str, str | None]:
    """A pair as one text."""
    if row.get("perturbed_text") is None:
        return "", None
    return joined(row["text"], row["pair"]), joined(row["perturbed_text"], row["perturbed_pair"])
