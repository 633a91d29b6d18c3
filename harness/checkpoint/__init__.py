"""Find, check, fingerprint and load a checkpoint: staged, vetted and tried in a confined process first."""

from harness.api.checkpoint import CheckpointInfo, CheckpointSource, Fingerprint, LoadedCheckpoint
from harness.api.permissions import NOTHING, Permissions
from harness.checkpoint.inspect import inspect_checkpoint
from harness.checkpoint.isolated.client import start as start_isolation
from harness.checkpoint.load import load_checkpoint, load_tokenizer, staged_bytes

__all__ = [
    "NOTHING",
    "CheckpointInfo",
    "CheckpointSource",
    "Fingerprint",
    "LoadedCheckpoint",
    "Permissions",
    "inspect_checkpoint",
    "load_checkpoint",
    "load_tokenizer",
    "staged_bytes",
    "start_isolation",
]
