"""A checkpoint with a privacy claim as others may have it: without what depends on its records beyond the claim."""

from privacy.publication.publish import Published, publish

__all__ = ["Published", "publish"]
