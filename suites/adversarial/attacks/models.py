"""The helper models of attacks as roles of an audit: what has a role by default, and how rows name what had it.

In an audit they are planned, checked, loaded once and counted by it. Outside one (benchmarks, `run` called by itself)
each is found and loaded here, as a resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.api.checkpoint import CheckpointInfo, CheckpointSource
from harness.api.models import ModelRole
from harness.api.needs import Need, any_of
from harness.api.scorer import Scorer
from harness.errors import UsageError
from suites.adversarial.recipes.parts import encoder_of, masked_lm_scorer, sentence_encoder
from suites.adversarial.recipes.recipe import Recipe
from suites.adversarial.resources.finding import Found, ResourceMissing, find
from suites.adversarial.semantics.measures import READERS, RESOURCE, Instrument, load_instrument
from suites.adversarial.semantics.params import Measure, SemanticsParams

if TYPE_CHECKING:
    from suites.adversarial.pooled.asking import LoadEncoder
    from suites.adversarial.semantics.measures import Load

ENCODER, MASKED_LM = "sentence_encoder", "masked_lm"
ROLE_OF: Mapping[str, str] = {
    "sentence-encoder": ENCODER,
    "masked-lm": MASKED_LM,
    "masked-lm-clare": MASKED_LM,
}
"""The role of each resource of a recipe that is a model."""
ROLES: Mapping[str, ModelRole] = {
    ENCODER: ModelRole((any_of(Need.EMBEDDINGS),), "sentence vectors that constrain the search", dtype="fp32"),
    MASKED_LM: ModelRole((any_of(Need.MASKED_LM),), "words that fit their place, for the search", dtype="fp32"),
    "similarity": ModelRole(
        (any_of(Need.EMBEDDINGS),), "similarity of original and perturbed text", required=False, dtype="fp32"
    ),
    "perplexity": ModelRole((any_of(Need.CAUSAL_LM),), "perplexity of the same", required=False, dtype="fp32"),
}
"""All roles an attack can have, which ones hangs on its recipe and on what is measured; each in float32, as thresholds
must not hang on rounding."""
_MEASURES: Mapping[str, Measure] = {"similarity": "similarity", "perplexity": "perplexity"}
"""Roles that take a measure of semantics."""


def roles_of(recipe: Recipe, semantics: SemanticsParams | None) -> dict[str, ModelRole]:
    """The roles of a recipe's attack under these settings."""
    wanted = {*(semantics.measures if semantics is not None else ()), *_resources_of(recipe)}
    return {role: asked for role, asked in ROLES.items() if role in wanted}


def default_models(recipe: Recipe, semantics: SemanticsParams | None) -> dict[str, CheckpointSource]:
    """The resource of each role, from the user's path or wherever it lies; none where it is missing.

    Raises UsageError where the user's own path is wrong.
    """
    sources: dict[str, CheckpointSource] = {}
    own = _resources_of(recipe)
    for role in roles_of(recipe, semantics):
        try:
            found = find(own[role]) if role in own else find(*_of_measure(role, semantics))
        except ResourceMissing:
            continue
        sources[role] = CheckpointSource(source=str(found.path))
    return sources


def costs_of(roles: Mapping[str, ModelRole], search: int, texts: int) -> dict[str, int]:
    """Tokens each role reads: a model of the search at most what is tried, a measure the texts before and after."""
    return {role: search if role in ROLE_OF.values() else 2 * texts for role in roles}


def load_encoder(others: Mapping[str, Scorer], device: str) -> LoadEncoder:
    """Loads what gives the search its sentence vectors."""
    if ENCODER not in others:
        return partial(sentence_encoder, device=device)
    return lambda: encoder_of(others[ENCODER])


def masked_lm(recipe: Recipe, others: Mapping[str, Scorer], device: str) -> Scorer | None:
    """What gives the search its words; None where it needs none. Raises ResourceMissing, UsageError."""
    name = _resources_of(recipe).get(MASKED_LM)
    if name is None:
        return None
    return others[MASKED_LM] if MASKED_LM in others else masked_lm_scorer(name, device=device)


def instruments(others: Mapping[str, Scorer], semantics: SemanticsParams) -> Load:
    """What takes each measure of semantics."""

    def load(measure: Measure) -> Instrument:
        scorer = others[measure]
        return Instrument(READERS[measure](scorer), described(RESOURCE[measure], semantics.path(measure), scorer.info))

    return lambda measure: load(measure) if measure in others else load_instrument(measure, semantics.path(measure))


def built_from(resources: Sequence[str], others: Mapping[str, Scorer]) -> str:
    """What an attack is built from, for its rows. Raises ResourceMissing."""
    return "; ".join(
        described(name, None, others[ROLE_OF[name]].info) if ROLE_OF.get(name) in others else find(name).described
        for name in resources
    )


def described(resource: str, path: str | None, info: CheckpointInfo) -> str:
    """A model as rows name it: the resource where it is that, else what the spec named."""
    found = _found(resource, path)
    if found is not None and found.path.resolve() == info.path.resolve():
        return found.described
    return f"{resource} from the spec, {info.source.source.split('#')[0]}, fingerprint {info.fingerprint.digest[:8]}"


def _found(resource: str, path: str | None) -> Found | None:
    try:
        return find(resource, path)
    except UsageError:
        return None


def _resources_of(recipe: Recipe) -> dict[str, str]:
    """Role -> the recipe's resource that takes it."""
    return {ROLE_OF[name]: name for name in recipe.resources if name in ROLE_OF}


def _of_measure(role: str, semantics: SemanticsParams | None) -> tuple[str, str | None]:
    """Name of the resource that takes a measure, and the user's own path of it."""
    measure = _MEASURES[role]
    return RESOURCE[measure], None if semantics is None else semantics.path(measure)
