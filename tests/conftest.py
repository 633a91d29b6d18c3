"""Its place puts the repository root on the import path: any test can `from tests.tiny import make_checkpoint`."""
