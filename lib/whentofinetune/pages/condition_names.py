"""What a condition of a record is called: the words of the chapter's figures, for a rival in a verdict box."""

from collections.abc import Mapping
from typing import Any

from tunewise.words import counted
from whentofinetune.pages import accuracy, domains, icl_figures, rag_figures, tone

Names = Mapping[str, Mapping[str, Any]]  # words -> the settings that they stand for


def _methods(words: Mapping[str, str]) -> Names:
    return {said: {"method": method} for method, said in words.items()}


GIVEN = {"none": "without passages", "found": "with the passages found"}
NAMES: Mapping[str, Names] = {
    "few_shot": _methods(icl_figures.NAMES),
    "formats": {
        f"{words}{' + constraint' * held}": {"method": method, "constrained": held}
        for method, words in tone.FORM_METHODS.items()
        for held in (False, True)
    },
    "invented_operation": _methods(
        {
            "described": "the rule in words",
            "few-shot": "{k} examples in the prompt",
            "described and few-shot": "the rule and {k} examples",
        }
    ),
    "jargon": domains.METHODS,
    "new_language": _methods({"base": "base model", "few-shot": "pairs in the prompt"}),
    "rag_hallucination": rag_figures.RETRIEVERS,
    "rag_hybrid": {
        f"{words}, {said}": {"method": method, "passages": passages}
        for method, words in rag_figures.MODELS.items()
        for passages, said in GIVEN.items()
    },
    "unwritten_rule": accuracy.PROMPTED,
    "voice": _methods(tone.PROMPTS),
}


def named(condition: Mapping[str, Any]) -> str:
    """``vote of the nearest, no language model, 16 examples``. Raises KeyError for a condition that no figure names."""
    for words, settings in NAMES[condition["experiment"]].items():
        if settings.items() <= condition.items():
            k = 0 if "passages" in condition else condition.get("k", 0)
            return words.format(k=k) if "{k}" in words or not k else f"{words}, {counted(k, 'example')}"
    raise KeyError(f"no words for {dict(condition)} in NAMES")
