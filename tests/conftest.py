"""Its place puts the repository root on the import path: any test can `from tests.tiny import make_checkpoint`."""

from hypothesis import settings

settings.register_profile("assay", deadline=None)  # how long an example takes says nothing about the code
settings.load_profile("assay")
