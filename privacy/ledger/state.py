"""The state of a private run between two logical steps: whole or not at all, and tied to its ledger.

It holds no state of a random generator: a process that goes on draws anew, so that no noise is ever used twice.
Steps that were spent after the state was saved stay spent; the run goes on at step `ledger.spent`. It carries a sha256
of its own content: a file that was edited since is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from harness.base.files import explain, make_folder, write_atomic
from harness.errors import AuditError
from privacy.ledger.chain import Chain
from privacy.ledger.errors import LedgerError
from privacy.ledger.flatten import flatten, unflatten

STATE_NAME = "state.safetensors"
_PARAMETERS, _OPTIMIZER = "parameters", "optimizer"
_DIGEST = "sha256"
_GO_ON = "put back the file that belongs to the ledger, or start a new run in another folder and count what was spent"

Extra = float | int | str | list[Any]


@dataclass(frozen=True, slots=True)
class SavedState:
    """What was saved; tensors lie on the CPU."""

    step: int
    """Steps whose updates are in the tensors; fewer than `ledger_spent` when a crash lost some."""
    tensors: dict[str, torch.Tensor]
    """Trained parameters by name."""
    optimizer_state: dict[str, Any]
    """For the optimizer's `load_state_dict`."""
    extra: dict[str, Extra]
    ledger_head: str
    ledger_spent: int


@dataclass(frozen=True, slots=True)
class _About:
    step: int
    optimizer: Any
    extra: dict[str, Extra]
    ledger_head: str
    ledger_spent: int


def save_state(
    folder: Path,
    step: int,
    *,
    tensors: Mapping[str, torch.Tensor],
    optimizer_state: Mapping[str, Any],
    extra: Mapping[str, Extra],
    ledger_head: str,
    ledger_spent: int,
) -> None:
    """Replace the state in `folder` (one safetensors file); killed at any moment, the old or the new one is there.

    Call it between steps, with the ledger's `head` and `spent` of then. Raises AuditError when the disk is full or
    the optimizer's state cannot be written, UsageError when the folder cannot be.
    """
    if step > ledger_spent:
        raise AuditError(f"{folder}: {step} steps were taken but {ledger_spent} are in the ledger; spend before a step")
    flat = {f"{_PARAMETERS}/{name}": value for name, value in tensors.items()}
    optimizer = flatten(dict(optimizer_state), _OPTIMIZER, flat)
    about = _About(step, optimizer, dict(extra), ledger_head, ledger_spent)
    content = _apart(flat)
    path = make_folder(folder) / STATE_NAME
    for left in folder.glob(f".{STATE_NAME}.*.tmp"):  # of a process killed while saving; the ledger lets in one only
        left.unlink()
    said = json.dumps(asdict(about))
    facts = {"state": said, _DIGEST: _digest(said, content)}
    write_atomic(path, lambda scratch: save_file(content, scratch, facts))


def load_state(folder: Path, ledger: Chain) -> SavedState | None:
    """The state saved last, checked against `ledger` (`Ledger.chain`, or `read_chain` where another rank holds it).

    None when there is none. Raises LedgerError when it is damaged, newer than the ledger, or of another one.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        return None
    about, flat, optimizer = _read(path)
    _check(path, about, ledger)
    prefix = f"{_PARAMETERS}/"
    return SavedState(
        step=about.step,
        tensors={name.removeprefix(prefix): value for name, value in flat.items() if name.startswith(prefix)},
        optimizer_state=optimizer,
        extra=about.extra,
        ledger_head=about.ledger_head,
        ledger_spent=about.ledger_spent,
    )


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies where tensors share memory, which safetensors refuses."""
    content: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        kept = value.detach().cpu().contiguous()
        place = kept.untyped_storage().data_ptr()
        content[name] = kept.clone() if place in seen else kept
        seen.add(place)
    return content


def _read(path: Path) -> tuple[_About, dict[str, torch.Tensor], Any]:
    """What is said, all tensors, and the optimizer's state."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
            about = _About(**json.loads(facts["state"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        if not (type(about.step) is type(about.ledger_spent) is int and isinstance(about.extra, dict)):
            raise TypeError(about)
        optimizer = unflatten(about.optimizer, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(f"{path}: no saved state of a private run, or a damaged one; {_GO_ON}") from error
    except OSError as error:
        raise explain(error, path) from error
    if _DIGEST in facts and facts[_DIGEST] != _digest(facts["state"], tensors):  # older states have none
        raise LedgerError(f"{path}: was changed since it was saved; {_GO_ON}")
    return about, tensors, optimizer


def _digest(said: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Of what is said and of every tensor: name, kind, shape and bytes."""
    digest = hashlib.sha256(said.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check(path: Path, about: _About, ledger: Chain) -> None:
    if about.ledger_head != ledger.head_after(about.ledger_spent):
        raise LedgerError(f"{path}: belongs to another privacy ledger than the one beside it; {_GO_ON}")
    if about.ledger_spent > ledger.spent:
        raise LedgerError(
            f"{path}: was saved after {about.ledger_spent} noisy steps, but the privacy ledger holds {ledger.spent}: "
            f"lines were taken off its end; {_GO_ON}"
        )
