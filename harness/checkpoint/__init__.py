"""Find, check, fingerprint and load a checkpoint. An untrusted one runs no code and takes no memory unchecked."""

from harness.checkpoint.inspect import inspect_checkpoint
from harness.checkpoint.load import load_checkpoint
from harness.checkpoint.source import CheckpointInfo, CheckpointSource, Fingerprint, LoadedCheckpoint

__all__ = [
    "CheckpointInfo",
    "CheckpointSource",
    "Fingerprint",
    "LoadedCheckpoint",
    "inspect_checkpoint",
    "load_checkpoint",
]
