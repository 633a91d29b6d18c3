"""What the head of a checkpoint is, from the class its config names, and what that offers to probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.api.needs import Need
from harness.errors import CheckpointError


class Head(Enum):
    """A head Assay reads: the auto class of transformers that loads it, and what it offers besides embeddings."""

    MASKED_LM = ("AutoModelForMaskedLM", Need.MASKED_LM)
    CAUSAL_LM = ("AutoModelForCausalLM", Need.CAUSAL_LM)
    SEQUENCE_CLASSIFIER = ("AutoModelForSequenceClassification", Need.SEQUENCE_CLASSIFIER)
    MULTI_LABEL = ("AutoModelForSequenceClassification", Need.MULTI_LABEL)
    REGRESSION = ("AutoModelForSequenceClassification", Need.REGRESSION)
    TOKEN_CLASSIFIER = ("AutoModelForTokenClassification", Need.TOKEN_CLASSIFIER)
    QUESTION_ANSWERING = ("AutoModelForQuestionAnswering", Need.QUESTION_ANSWERING)
    NEXT_SENTENCE = ("AutoModelForNextSentencePrediction", Need.NEXT_SENTENCE)
    MULTIPLE_CHOICE = ("AutoModelForMultipleChoice", Need.MULTIPLE_CHOICE)
    NONE = ("AutoModel", None)

    def __init__(self, auto_class: str, need: Need | None) -> None:
        self.auto_class = auto_class
        self.need = need

    @property
    def classifies(self) -> bool:
        """Whether its outputs are classes that the config names."""
        return self in {Head.SEQUENCE_CLASSIFIER, Head.MULTI_LABEL, Head.TOKEN_CLASSIFIER}


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """The head to load, and a sentence for the report where it is not what its class suggests."""

    head: Head
    note: str | None = None


_BY_SUFFIX = {
    "ForSequenceClassification": Head.SEQUENCE_CLASSIFIER,
    "ForTokenClassification": Head.TOKEN_CLASSIFIER,
    "ForQuestionAnswering": Head.QUESTION_ANSWERING,
    "ForNextSentencePrediction": Head.NEXT_SENTENCE,
    "ForMultipleChoice": Head.MULTIPLE_CHOICE,
    "ForMaskedLM": Head.MASKED_LM,
    "ForPreTraining": Head.MASKED_LM,
    "ForCausalLM": Head.CAUSAL_LM,
    "LMHeadModel": Head.CAUSAL_LM,
    "DoubleHeadsModel": Head.CAUSAL_LM,
    "ModelWithLMHead": Head.CAUSAL_LM,
}
_DISCRIMINATORS = ("Electra", "Funnel", "Splinter")
"""Their pre-training head does not predict tokens."""
_BEAM_SEARCH = frozenset({"FlaubertForQuestionAnswering", "XLMForQuestionAnswering", "XLNetForQuestionAnswering"})
"""They answer with a beam search, not with a score of each token as a span's first and last."""
_OWN_TEXT_TO_TEXT = ("ForConditionalGeneration", "ForSeq2SeqLM", "ForImageTextToText")
_TEXT_TO_TEXT = frozenset({
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "fsmt", "led", "longt5",
    "m2m_100", "marian", "mbart", "mt5", "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet",
    "switch_transformers", "t5", "t5gemma", "umt5",
})  # fmt: skip
"""Model types that are encoder-decoders whatever their config says."""
_BY_TASK = {
    "SEQ_CLS": Head.SEQUENCE_CLASSIFIER,
    "CAUSAL_LM": Head.CAUSAL_LM,
    "TOKEN_CLS": Head.TOKEN_CLASSIFIER,
    "FEATURE_EXTRACTION": Head.NONE,
}


def refuse_text_to_text(architecture: str, raw: Mapping[str, Any], where: str) -> None:
    """Raises CheckpointError for an encoder-decoder or multimodal model, by its class or its raw config."""
    model_type = raw.get("model_type")
    if architecture.endswith(_OWN_TEXT_TO_TEXT) or raw.get("is_encoder_decoder") or str(model_type) in _TEXT_TO_TEXT:
        raise CheckpointError(
            f"{where}: {architecture or str(model_type)[:60]} is an encoder-decoder or multimodal model; "
            "Assay audits encoders (BERT) and decoders (GPT) of text"
        )


def head_of(architecture: str, config: Any) -> HeadChoice:
    """The head of the class that `config.architectures` names first; '' where it names none."""
    head = _named_head(architecture, config)
    if head is Head.NONE:
        return HeadChoice(head, note=_why_no_head(architecture))
    if head is Head.CAUSAL_LM and not _reads_left_to_right(architecture, config):
        return HeadChoice(Head.NONE, note=_why_not_causal(architecture, config))
    if head is Head.SEQUENCE_CLASSIFIER:
        return _classifier(architecture, config)
    return HeadChoice(head)


def head_of_task(task: str | None, config: Any, where: str) -> HeadChoice | None:
    """The head an adapter was trained with, by its `task_type`; None where it names none and the base's head counts."""
    if task is None:
        return None
    if task not in _BY_TASK:
        raise CheckpointError(
            f"{where}: adapters of task_type {task!r} are not read, only {', '.join(sorted(_BY_TASK))}"
        )
    head = _BY_TASK[task]
    return _classifier(f"its {task} adapter", config) if head is Head.SEQUENCE_CLASSIFIER else HeadChoice(head)


def _named_head(architecture: str, config: Any) -> Head:
    if architecture.endswith("ForPreTraining") and architecture.startswith(_DISCRIMINATORS):
        return Head.NONE
    if architecture in {"XLMWithLMHeadModel", "FlaubertWithLMHeadModel"}:
        return Head.CAUSAL_LM if getattr(config, "causal", False) else Head.MASKED_LM
    if architecture in _BEAM_SEARCH:
        return Head.NONE
    return next((head for suffix, head in _BY_SUFFIX.items() if architecture.endswith(suffix)), Head.NONE)


def _why_no_head(architecture: str) -> str:
    if not architecture:
        return "The config names no architecture, so no head is loaded: only embeddings are offered."
    if architecture.endswith("Model"):
        return (
            f"{architecture} is a base model without a head: only embeddings are offered; "
            "fine-tune it with `assay train` to give it one."
        )
    return f"No probe reads the head of {architecture}: only embeddings are offered."


def _reads_left_to_right(architecture: str, config: Any) -> bool:
    """Encoder classes with a causal head attend both ways unless told to be decoders; XLNet's order is permuted.

    Decoders may be told to attend both ways, as Gemma's embedding models are.
    """
    if architecture.startswith("XLNet") or getattr(config, "use_bidirectional_attention", False):
        return False
    return bool(getattr(config, "is_decoder", False)) or not hasattr(config, "type_vocab_size")


def _why_not_causal(architecture: str, config: Any) -> str:
    if architecture.startswith("XLNet"):
        return (
            "XLNetLMHeadModel is a permutation language model: without its permutation masks it sees the token it "
            "predicts, so no causal LM is offered, only embeddings."
        )
    if getattr(config, "use_bidirectional_attention", False):
        return (
            f"{architecture} attends to later tokens (use_bidirectional_attention is set): no causal LM is offered, "
            "only embeddings."
        )
    return f"{architecture} attends to later tokens (is_decoder is not set): no causal LM is offered, only embeddings."


def _classifier(name: str, config: Any) -> HeadChoice:
    """Probes of classes apply softmax, which is wrong for numbers and for labels that do not exclude each other."""
    kind = getattr(config, "problem_type", None)
    if kind == "multi_label_classification":
        note = (
            f"{name} is a multi-label classifier, whose labels do not exclude each other: no probe of classes applies."
        )
        return HeadChoice(Head.MULTI_LABEL, note)
    if config.num_labels < 2 or kind == "regression":
        labels = "one label" if config.num_labels < 2 else "the problem type regression"
        return HeadChoice(
            Head.REGRESSION, f"{name} has {labels}, so it is a regression head: no probe of classes applies."
        )
    return HeadChoice(Head.SEQUENCE_CLASSIFIER)
