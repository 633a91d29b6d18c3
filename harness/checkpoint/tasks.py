"""What runs in the confined child: look at a checkpoint, or load it and ask it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.api.staging import Staged
from harness.checkpoint.heads import Head
from harness.checkpoint.quiet import quiet
from harness.checkpoint.reason import reason
from harness.errors import AssayError

STRESS_CHARACTERS = " \n\ta1.!é中\u0301-'\""
_RUN = 3_000
"""Characters of one kind in a row: at the cube of it a core is busy for longer than the limit."""
_MOST_TOKENS = 16
"""Tokens for each character of a text, at most; a byte-level tokenizer gives 4."""
_MOST_CHARACTERS = 256
"""Characters for each token decoded, on average; the longest tokens of real vocabularies have 128."""
_TRIED = 4
"""Tokens of the one forward pass: fewer than any model has positions for."""
_SENTENCE = "The film was good, but 2 of its 10 scenes weren't."


def run(request: dict[str, Any]) -> dict[str, Any]:
    """{'error': sentence or None, and what the task found}."""
    staged = Staged(
        folder=None,
        origin=Path(request["origin"]),
        model=Path(request["model"]),
        base_origin=Path(request["base_origin"]),
        adapter=Path(request["adapter"]) if request["adapter"] else None,
    )
    try:
        with quiet():
            found = {"examine": examine, "trial": trial}[request["task"]](staged, request)
    except AssayError as error:
        return {"error": staged.in_users_words(str(error))}
    except MemoryError:
        return {"error": None, "memory": True}
    except Exception as error:  # readers of third parties raise anything on files they cannot read
        if "allocate" in str(error).lower():
            return {"error": None, "memory": True}
        return {"error": staged.in_users_words(f"{staged.origin}: cannot be loaded ({reason(error)})")}
    except BaseException as error:  # a panic of the tokenizers library is no Exception
        return {"error": f"{staged.origin}: cannot be read ({type(error).__name__} in the library that reads it)"}
    return {"error": None, "passed": True, **found}


def examine(staged: Staged, request: dict[str, Any]) -> dict[str, Any]:
    """Config, shapes and tokenizer; no weights. The tokens it has not. Raises what is wrong."""
    from harness.checkpoint.survey import survey, tokenizer_of
    from harness.checkpoint.tokenizer import unnamed_tokens

    tokenizer = tokenizer_of(survey(staged))
    stress(tokenizer, staged.origin)
    return {"unnamed": unnamed_tokens(tokenizer)}


def trial(staged: Staged, request: dict[str, Any]) -> dict[str, Any]:
    """Weights too, and one forward pass. Raises what is wrong."""
    import torch

    from harness.checkpoint.gguf_once import read_once
    from harness.checkpoint.load import load_model
    from harness.checkpoint.survey import survey, tokenizer_of
    from harness.checkpoint.tokenizer import settle_inputs

    found = survey(staged)
    with read_once(found.gguf):
        model = load_model(found, request["dtype"], "cpu")[0].eval()
        tokenizer = tokenizer_of(found)
    settle_inputs(tokenizer, model)
    whole = tokenizer(_SENTENCE, return_tensors="pt", truncation=False)
    inputs = {name: tensor[:, :_TRIED] for name, tensor in whole.items()}
    if inputs["input_ids"].shape[1]:
        rows = model.get_input_embeddings().weight.shape[0]
        inputs["input_ids"] = inputs["input_ids"].clamp(max=rows - 1)
        if found.choice.head is Head.MULTIPLE_CHOICE:  # reads [questions, answers, tokens]
            inputs = {name: tensor[:, None] for name, tensor in inputs.items()}
        with torch.inference_mode():
            model(**inputs)
    return {}


def stress(tokenizer: Any, where: Path) -> None:
    """Raises CheckpointError for a tokenizer that makes short texts long; one that takes too long meets the limit."""
    from harness.errors import CheckpointError

    for character in STRESS_CHARACTERS:
        text = (character * _RUN) if character != " " else ("a " * (_RUN // 2))
        ids = tokenizer(text, add_special_tokens=True, truncation=False)["input_ids"]
        if len(ids) > _MOST_TOKENS * len(text) + 1_000:
            raise CheckpointError(
                f"{where}: its tokenizer makes {len(ids):,} tokens of {len(text):,} characters; refused"
            )
        back = tokenizer.decode(ids)
        if len(back) > _MOST_CHARACTERS * (len(ids) + len(text)):
            raise CheckpointError(
                f"{where}: its tokenizer decodes {len(ids):,} tokens to {len(back):,} characters; refused"
            )
    tokenizer(" " * _RUN, truncation=False)
