"""bias/winogender: whether a model resolves pronouns alike for women and men, and against the odds of an occupation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, RowDict
from harness.api.scorer import Scorer
from harness.errors import WrongDataError
from suites.bias.coreference.rows import (
    FEMALE,
    MALE,
    CoreferenceRow,
    coreference_cost,
    coreference_metrics,
    coreference_rows,
)
from suites.bias.coreference.scores import Sentence
from suites.bias.coreference.sentences import own_rows, with_controls

SLOTS = {"$NOM_PRONOUN": ("she", "he"), "$ACC_PRONOUN": ("her", "him"), "$POSS_PRONOUN": ("her", "his")}
ANSWERS = {"0": "occupation", "1": "participant"}
OCCUPATION, PARTICIPANT = "$OCCUPATION", "$PARTICIPANT"
EVEN = 50.0
SOMEONE = "someone"


class WinogenderTemplates(pa.DataFrameModel):
    """Templates as published: whom the pronoun refers to is answer, 0 the occupation, 1 the participant."""

    occupation: Series[str] = pa.Field(coerce=True)
    participant: Series[str] = pa.Field(coerce=True)
    answer: Series[str] = pa.Field(coerce=True, isin=list(ANSWERS))
    sentence: Series[str] = pa.Field(coerce=True)


class OccupationShares(pa.DataFrameModel):
    """How many of those in an occupation are women, in percent."""

    occupation: Series[str] = pa.Field(coerce=True)
    percent_female: Series[float] = pa.Field(coerce=True, ge=0, le=100)


class Winogender(Probe[ProbeParams]):
    """Pronouns of either gender in sentences about an occupation and another person."""

    name = "bias/winogender"
    about = About(
        summary="How differently a causal model resolves pronouns for women and men, and where the gender is the rarer "
        "of the occupation (gotcha, here accuracy_anti); how often a language model finds the commoner likelier",
        paper="Rudinger et al. 2018, Winogender; the question as in lm-evaluation-harness's winogender; "
        "built-in shares of women: US Bureau of Labor Statistics 2015",
        cannot_tell="what the paper's coreference systems do: the question differs; near 50% accuracy a model resolves "
        "nothing and gaps say nothing; neutral pronouns are left out; US occupations and statistics; Blodgett et al. "
        "2021 on what such pairs fail to say; Assay's own templates are few, each of one occupation",
    )
    needs = (any_of(Need.MASKED_LM, Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        "templates": Input(
            WinogenderTemplates,
            "occupation, participant, answer (0: occupation) and sentence with $OCCUPATION, $PARTICIPANT and one of "
            f"{', '.join(SLOTS)}, instead of the built-in",
            required=False,
        ),
        "occupations": Input(
            OccupationShares, "occupation and percent_female, for the gotcha split of your templates", required=False
        ),
    }
    metrics = coreference_metrics("neutral nouns for occupation and participant")
    nothing = "no sentence could be scored"
    Row = CoreferenceRow

    def cases(self, plan: Plan) -> list[Case]:
        """Each template with its participant and with 'someone', and the same about neutral nouns."""
        own = own_rows("winogender_templates.csv")
        rows: Sequence[Mapping[Any, Any]] = own
        shares = {row["occupation"]: float(row["percent_female"]) for row in own}
        source = "winogender_templates.csv"
        if "templates" in plan.data:
            rows, source = plan.data["templates"].frame.to_dict("records"), plan.data["templates"].source.source
            shares = {}
        if "occupations" in plan.data:
            frame = plan.data["occupations"].frame
            shares = dict(zip(frame["occupation"], frame["percent_female"], strict=True))
        items = [
            item
            for number, row in enumerate(rows, start=1)
            for item in _filled(row, shares.get(row["occupation"]), f"{source}: row {number} of those used")
        ]
        return make_cases(with_controls(plan, items))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per sentence."""
        yield from coreference_rows(scorer, cases)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read."""
        return coreference_cost(cases)


def _filled(row: Mapping[Any, Any], share: float | None, where: str) -> Iterator[tuple[Sentence, dict[str, str]]]:
    """Both sentences of a template. Raises WrongDataError for one without its three slots."""
    template = row["sentence"]
    slots = [slot for slot in SLOTS if slot in template]
    if len(slots) != 1 or OCCUPATION not in template or PARTICIPANT not in template:
        raise WrongDataError(
            f"{where}: {template!r} needs {OCCUPATION}, {PARTICIPANT} and exactly one of {', '.join(SLOTS)}"
        )
    answer = ANSWERS[row["answer"]]
    said = {"group": answer, "unit": row["occupation"], "stereotype": _stereotype(answer, share)}
    pronouns = SLOTS[slots[0]]
    for participant in (row["participant"], SOMEONE):
        text = template.replace(OCCUPATION, row["occupation"])
        if participant == SOMEONE:
            for article in ("The ", "the ", "a ", "A "):
                shown = "Someone" if article[0].isupper() else SOMEONE
                text = text.replace(f"{article}{PARTICIPANT}", shown)
        text = text.replace(PARTICIPANT, participant)
        people = (row["occupation"], participant)
        right, other = people if answer == "occupation" else people[::-1]
        female, male = (text.replace(slots[0], pronoun) for pronoun in pronouns)
        yield Sentence(female, male, *pronouns, right, other), said


def _stereotype(answer: str, share: float | None) -> str:
    """The commoner gender where the pronoun is the occupation's, else the rarer (Rudinger et al. 2018, gotcha)."""
    if share is None or share == EVEN:
        return ""
    return FEMALE if (share > EVEN) == (answer == "occupation") else MALE
