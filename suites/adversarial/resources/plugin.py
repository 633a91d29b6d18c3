"""What the command line `assay resources` shows and makes; registered under the entry point group assay.resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.api.resources import ResourceRow
from harness.errors import UsageError
from suites.adversarial.resources.catalogue import RESOURCES, Resource
from suites.adversarial.resources.finding import ResourceMissing, find, shown


class AdversarialResources:
    """The adversarial suite's resources."""

    suite = "adversarial"

    def rows(self) -> Iterator[ResourceRow]:
        """Each resource as it is on this machine; downloads nothing."""
        for resource in RESOURCES.values():
            yield _row(resource)

    def counterfit(
        self, vectors: Path | None, synonyms: list[Path], antonyms: list[Path], output: Path, words: int
    ) -> str:
        """Counter-fitted vectors of the first `words` words, written to `output`; says in a sentence what was made."""
        from suites.adversarial.resources.counterfit import counterfit, read_pairs
        from suites.adversarial.resources.vectors import read_vectors, write_vectors

        if output.is_dir() or not output.parent.is_dir():
            raise UsageError(f"{output}: give a file to write, in a folder that exists")
        start = read_vectors(vectors or find("glove").path, words)
        alike, opposite = list(read_pairs(synonyms)), list(read_pairs(antonyms))
        write_vectors(counterfit(start, alike, opposite), output)
        return (
            f"{output}: {len(start):,} vectors of {start.matrix.shape[1]} numbers, counter-fitted to {len(alike):,} "
            f"pairs of synonyms and {len(opposite):,} of antonyms; as word-vectors.txt in the folder that "
            "ASSAY_RESOURCES names they are used by every attack"
        )


def _row(resource: Resource) -> ResourceRow:
    later = next((place for place in resource.places if place.kind in ("hub", "pypi")), None)
    try:
        found = find(resource.name, fetch=False)
    except ResourceMissing as error:
        if later is None:
            return ResourceRow(resource.name, resource.purpose, resource.licence, problem=str(error))
        return ResourceRow(resource.name, resource.purpose, resource.licence, get=_on_use(resource))
    except UsageError as error:
        return ResourceRow(resource.name, resource.purpose, resource.licence, problem=str(error))
    return ResourceRow(
        resource.name,
        resource.purpose,
        resource.licence,
        source=found.source,
        path=str(found.path),
        digest=found.digest,
        substitutes_for=found.substitutes_for,
    )


def _on_use(resource: Resource) -> str:
    ready = [place for place in resource.places if place.kind in ("hub", "pypi")]
    places = ", else ".join(
        shown(place) + (f" (instead of {place.substitutes_for})" if place.substitutes_for else "") for place in ready
    )
    return f"downloaded on first use: {places}"


plugin = AdversarialResources()
