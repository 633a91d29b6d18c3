"""quality/retrieval: does the model's embedding of a question lie nearest to the entry that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import Computed, MeanOf, Named, Rows, ShareOf, of
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.models import Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Embedding, EmbedRequest, Floats, Pooling, Scorer
from harness.data.datasets import Dataset
from harness.data.labels import LabelMap, plain_label
from harness.data.schemas import LabelledTexts
from harness.errors import AuditError, WrongDataError
from harness.stats.intervals import auc, auc_interval

ENTRIES, ANSWERS = "entries", "answers"
TIE = 1e-6
"""Similarities closer than this are a tie: single precision tells no more, and a batch may move their last digits."""
CUTS = (1, 5, 10)


class RetrievalParams(ProbeParams):
    """Settings."""

    pooling: Pooling = Field(default=Pooling.MEAN, description="how token states become a vector: mean, max, cls, last")
    layer: int | None = Field(default=None, ge=0, description="layer whose states are read; default: the last")
    query_prefix: str = Field(default="", description="put before each question, for models trained with one")
    entry_prefix: str = Field(default="", description="put before each entry")
    no_answer: str | None = Field(
        default=None, description="label of questions that no entry answers; they are told by their similarity"
    )


class RetrievalRow(ProbeRow):
    """One row per question."""

    answerable: Series[bool] = column("whether an entry answers it")
    rank: Series[pd.Int64Dtype] = column(
        "place of its answer among all, 1 is best; empty where there is none", ge=1, nullable=True
    )
    similarity: Series[float] = column("cosine of the nearest entry")
    nearest: Series[str] = column("label of the nearest entry's answer")
    answers: Series[int] = column("different answers among the entries", "answers", ge=2)
    copied: Series[bool] = column("whether the question itself stands among the entries")
    truncated: Series[int] = column("tokens of the question that the model cannot read", "tokens", ge=0)


def _chance(rows: Rows) -> str:
    """What a random order would have."""
    most = int(rows.counted["answers"].max())
    return f"a random order of {most} answers has {float(np.mean(1 / np.arange(1, most + 1))):.3g}"


def _within(cut: int) -> ShareOf:
    return ShareOf(
        *(f"recall_at_{cut}", Better.HIGHER, of(lambda rank: (rank <= cut).astype("boolean"), "rank")),
        over="answerable",
        empty=_NONE,
        note=lambda rows: f"a random order has {min(1.0, cut / int(rows.counted['answers'].max())):.3g}",
        headline=cut != CUTS[-1],
    )


_NONE = "no question has an answer among the entries"


def _told(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC of the nearest entry's similarity between questions with and without an answer."""
    similarity, has = rows.good["similarity"].to_numpy(np.float64), rows.good["answerable"].to_numpy(np.bool_)
    value, sizes = auc(similarity[has], similarity[~has]) if has.any() else None, (int(has.sum()), int((~has).sum()))
    if value is None:
        yield named["no_answer_auc"].none(_NONE, missing=rows.missing)
        return
    yield named["no_answer_auc"].value(value, auc_interval(value, *sizes), min(sizes), missing=rows.missing)


class Retrieval(Probe[RetrievalParams]):
    """Matching of questions to known entries by cosine similarity, as an FAQ search does."""

    name = "quality/retrieval"
    about = About(
        summary="How near the top the right answer comes when entries are ranked by the similarity of embeddings",
        paper="Voorhees 1999, TREC-8 Question Answering Track (mean reciprocal rank); cosine of pooled states as in "
        "Reimers & Gurevych 2019, Sentence-BERT",
        cannot_tell="whether an entry under another label answers as well; what a reranker would make of it; of a "
        "checkpoint that was not trained to embed, only how well its states happen to do",
    )
    needs = (any_of(Need.EMBEDDINGS, Need.MASKED_LM, Need.CAUSAL_LM, Need.SEQUENCE_CLASSIFIER, Need.TOKEN_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "queries": Input(LabelledTexts, "questions, each labelled by the answer that is right"),
        "entries": Input(LabelledTexts, "known questions or texts, each labelled by its answer"),
    }
    metrics = (
        MeanOf(
            *("mrr", Better.HIGHER, of(lambda rank: 1 / rank.astype("Float64"), "rank")),
            over="answerable",
            empty=_NONE,
            bounds=UNIT,
            note=_chance,
        ),
        *map(_within, CUTS),
        Computed(
            (
                Named(
                    *("no_answer_auc", Better.HIGHER),
                    bounds=UNIT,
                    note="0.5: similarity tells nothing of whether there is an answer",
                ),
            ),
            _told,
            about=of(lambda has: ~has.astype("boolean"), "answerable"),
        ),
        ShareOf("copied_rate", Better.LOWER, "copied", headline=False, note="found without understanding"),
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
    )
    nothing = "no question could be embedded"
    Params = RetrievalParams
    Row = RetrievalRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per question. Raises WrongDataError for one whose answer no entry has, and for a single answer."""
        entries, questions = plan.data["entries"], plan.data["queries"]
        for data in (entries, questions):
            if "pair" in data.frame:
                raise WrongDataError(
                    f"{data.source.source}: has a column pair; a question is a single text, take it out"
                )
        known = set(_answers(entries))
        if len(known) < 2:
            raise WrongDataError(
                f"{entries.source.source}: all entries have the same label; two or more answers are needed to rank"
            )
        texts = set(entries.frame["text"])
        none = self.params.no_answer
        found = []
        for row, (text, label) in enumerate(zip(questions.frame["text"], _answers(questions), strict=True), start=1):
            if label not in known and label != none:
                raise WrongDataError(
                    f"{questions.source.source}: row {row} of those used has the label {label!r}, which no entry of "
                    f"{entries.source.source} has; add such an entry, or say no_answer: {label!r} in params"
                )
            answer = None if label == none else label
            found.append({"text": text, "answer": answer, "copied": text in texts})
        return make_cases(found)

    def prepare(self, models: Models, plan: Plan) -> None:
        """The entries' vectors, each of length 1, in the order of their answers."""
        data = plan.data["entries"]
        names, index = np.unique(_answers(data), return_inverse=True)
        order = np.argsort(index, kind="stable")
        texts = [str(text) for text in data.frame["text"].iloc[order]]
        self.kept.value(ANSWERS, lambda: [str(name) for name in names])
        self.kept.arrays(
            ENTRIES,
            lambda: {
                "vectors": self._entries(models.subject, texts, data.source.source),
                "first": np.searchsorted(index[order], np.arange(len(names))),
            },
        )

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per question."""
        names: list[str] = self.kept.value(ANSWERS)
        kept = self.kept.arrays(ENTRIES)
        for case, answer in zip(
            cases, self._embedded(scorer, self.params.query_prefix, [case.data["text"] for case in cases]), strict=True
        ):
            vector = _unit(answer)
            if vector is None:
                yield error_row(case, answer.error or "the embedding is no direction")
                continue
            best = np.maximum.reduceat(kept["vectors"] @ vector, kept["first"])
            yield _row(case, best, names, answer.truncated)

    def _embedded(self, scorer: Scorer, prefix: str, texts: Sequence[str]) -> list[Embedding]:
        pooling, layer = self.params.pooling, self.params.layer
        return scorer.ask([EmbedRequest(prefix + text, pooling=pooling, layer=layer) for text in texts])

    def _entries(self, scorer: Scorer, texts: Sequence[str], where: str) -> Floats:
        """Vectors of length 1, [entries, hidden]. Raises AuditError for an entry without one."""
        found = self._embedded(scorer, self.params.entry_prefix, texts)
        vectors = [_unit(each) for each in found]
        for text, answer, vector in zip(texts, found, vectors, strict=True):
            if vector is None:
                raise AuditError(f"{where}: no embedding of the entry {text[:40]!r} ({answer.error or 'no direction'})")
        return np.stack([vector for vector in vectors if vector is not None])


def _answers(data: Dataset) -> list[str]:
    """Label of each row, as `label_map` has it."""
    mapped = LabelMap(data.source.label_map)
    return [mapped(value) or plain_label(value) for value in data.labels.used]


def _unit(answer: Embedding) -> npt.NDArray[np.float64] | None:
    """The vector at length 1; None where it has none."""
    if answer.error is not None:
        return None
    vector = np.asarray(answer.vector, dtype=np.float64)
    length = float(np.linalg.norm(vector))
    return vector / length if 0 < length < np.inf else None


def _row(case: Case, best: Floats, names: Sequence[str], truncated: int) -> RowDict:
    """`best`: similarity of each answer's nearest entry, [answers]. Ties count against the right one."""
    answer = case.data["answer"]
    return ok_row(
        case,
        answerable=answer is not None,
        rank=None if answer is None else int((best >= best[names.index(answer)] - TIE).sum()),
        similarity=float(best.max()),
        nearest=names[int(best.argmax())],
        answers=len(names),
        copied=case.data["copied"],
        truncated=truncated,
    )
