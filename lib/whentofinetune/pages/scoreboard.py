"""Each claim of the article with the function that judges it, and what came out: the table of all 44.

A claim is judged in one place only; this module says where. ``found`` is read by the page *The claims, one by one*, and by the test that keeps the decision
helper in step with the verdict boxes.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunewise.report.figures import Html
from tunewise.report.numbers import pct, prose
from whentofinetune import book_records
from whentofinetune.pages import (
    abilities_verdicts,
    accuracy_verdicts,
    costs_verdicts,
    domains_verdicts,
    forgetting_figures,
    icl_verdicts,
    memory_figures,
    rag_verdicts,
    tone_verdicts,
)
from whentofinetune.pages.verdict import AGREES, claims

Verdict = tuple[Mapping | str, str, str]


@dataclass(frozen=True)
class Box:
    """Where a claim is judged.

    chapter: the notebook with its box. main: how the name of the figure begins that stands for it in the table (the first of all, if empty). judge: the
    function, None where the chapter computes it while it is built. records: the run records that it is given, in order.
    """

    chapter: str
    main: str
    judge: Callable[..., Verdict] | None
    records: tuple[str, ...] = ()


_ICL, _ACC, _RAG = icl_verdicts, accuracy_verdicts, rag_verdicts
BOXES = {
    "C1": Box("icl_vs_finetuning", "LoRA minus TF-IDF", _ICL.c1, ("learning_curve",)),
    "C2": Box("memory", "Llama-2-7b", memory_figures.c2),
    "C3": Box("memory", "QLoRA", memory_figures.c3, ("memory_table",)),
    "C4": Box("memory", "Llama 2 7B, QLoRA", memory_figures.c4, ("memory_table",)),
    "C5": Box("memory", "Llama 2 7B", memory_figures.c5, ("memory_table",)),
    "C6": Box("forgetting", "full, rate 0.0003: bits", forgetting_figures.c6, ("forgetting",)),
    "C7": Box("forgetting", "full minus LoRA", forgetting_figures.c7, ("forgetting",)),
    "C8": Box("memory", "", None),
    "C9": Box("tone", "LoRA on 60 pairs minus", tone_verdicts.c9, ("voice",)),
    "C10": Box("tone", "LoRA + constraint minus constraint alone", tone_verdicts.c10, ("formats",)),
    "C11": Box("rag_facts", "tuned to read minus", _RAG.c11, ("rag_hallucination",)),
    "C12": Box("accuracy", "LoRA minus the best prompt", _ACC.c12, ("label_curve",)),
    "C13": Box("accuracy", "worst of", _ICL.c13, ("wordings", "learning_curve")),
    "C14": Box("accuracy", "gain", _ICL.c14, ("learning_curve", "few_shot")),
    "C15": Box("accuracy", "rank correlation", _ICL.c15, ("gain_prediction", "learning_curve")),
    "C16": Box("domains", "LoRA on all definitions minus the bare", domains_verdicts.c16, ("jargon",)),
    "C17": Box("domains", "LoRA minus examples in the prompt, in form", domains_verdicts.c17, ("notes",)),
    "C18": Box("domains", "", domains_verdicts.c18, ("new_language",)),
    "C19": Box("cost", "student minus teacher, easy", costs_verdicts.c19, ("distillation",)),
    "C20": Box("icl_vs_finetuning", "prompt tokens, 16", _ICL.c20, ("prompt_cost",)),
    "C21": Box("cost", "one text: tuned judge agrees", costs_verdicts.c21, ("judge",)),
    "C22": Box("abilities", "LoRA minus the best prompt", abilities_verdicts.c22, ("invented_operation",)),
    "C23": Box(
        "rag_hybrid", "tuned to read, no distractors, minus as it comes, found", _RAG.c23, ("rag_hybrid",)
    ),
    "C24": Box("abilities", "LoRA judge minus untuned", abilities_verdicts.c24, ("groundedness",)),
    "C25": Box("abilities", "NTK-aware base minus", abilities_verdicts.c25, ("context_window",)),
    "C26": Box("icl_vs_finetuning", "1 random example minus", _ICL.c26, ("few_shot",)),
    "C27": Box("icl_vs_finetuning", "rank correlation of the two", _ICL.c27, ("gain_prediction",)),
    "C28": Box("icl_vs_finetuning", "64 examples", _ICL.c28, ("prompt_cost",)),
    "C29": Box("icl_vs_finetuning", "right with 64", _ICL.c29, ("example_position",)),
    "C30": Box("icl_vs_finetuning", "nearest minus", _ICL.c30, ("few_shot",)),
    "C31": Box("icl_vs_finetuning", "from weights, trained on it 16", _ICL.c31, ("leaks",)),
    "C32": Box("rag_facts", "RAG minus", _RAG.c32, ("rag_knowledge",)),
    "C33": Box("rag_hybrid", "taught the facts themselves: interaction", _RAG.c33, ("rag_hybrid",)),
    "C34": Box("rag_facts", "RAG minus tuned, reworded", _RAG.c34, ("rag_knowledge",)),
    "C35": Box("tone", "difference, rules kept", tone_verdicts.c35, ("voice",)),
    "C36": Box("rag_facts", "wrong answers, tuned to read, found", _RAG.c36, ("rag_hallucination",)),
    "C37": Box("accuracy", "300 labels minus", _ACC.c37, ("label_curve",)),
    "C38": Box("rag_facts", "new index minus old", _RAG.c38, ("rag_dynamic",)),
    "C39": Box("rag_facts", "right source found afterwards, of right", _RAG.c39, ("rag_citations",)),
    "C40": Box("rag_questions", "an answer from 3", _RAG.c40, ("rag_cost",)),
    "C41": Box("rag_questions", "own adapter minus another", costs_verdicts.c41, ("task_diversity",)),
    "C42": Box("rag_hybrid", "taught reading the right passage alone: both minus", _RAG.c42, ("rag_hybrid",)),
}


def found(claim: str) -> Verdict | None:
    """What was measured of a claim, whether it agrees, and why; None without an experiment or before its record is made."""
    box = BOXES.get(claim)
    if box is None or box.judge is None:
        return None
    try:
        records = [book_records.load(name) for name in box.records]
    except book_records.NotMeasured:
        return None
    return box.judge(*records)


def summary() -> Html:
    """How many claims agree, in a sentence."""
    counts = Counter(said[1] for claim in claims() if (said := found(claim)))
    rest = len(claims()) - sum(counts.values())
    return prose(
        f"Of the article's {len(claims())} claims {counts['yes']} agree with what we measured, {counts['partly']} agree in part, {counts['no']} do not agree. "
        f"Of the other {rest}, each says why it has no verdict."
    )


def board() -> Html:
    """All claims, one under the other: the article's figure if there is one, what we found, and the verdict with a link to the chapter that has its box."""
    out, lines = ['<ul class="tw-claims" style="list-style:none;padding:0">'], []
    for key, claim in claims().items():
        ours, word, colour = _ours(key)
        figure = claim.get("article_figure")
        lines.append(" | ".join((f"{key}. {claim['claim']}", figure or "none", ours, word)))
        link = f'<a href="{BOXES[key].chapter}.html">{word}</a>' if key in BOXES else word
        said = [f"<strong>{key}. {html.escape(claim['claim'])}</strong> {link}"]
        said += [f"<small>The article: {html.escape(figure)}</small>"] if figure else []
        said += [html.escape(ours)] if ours else []
        out.append(
            f'<li style="border-left:.3rem solid {colour};padding:.1rem 0 .1rem .8rem;margin:0 0 1rem">{"<br>".join(said)}</li>'
        )
    return Html("".join([*out, "</ul>"]), "\n".join(lines))


def _ours(claim: str) -> tuple[str, str, str]:
    """The first sentence of the reason with the main figure, and the verdict with its colour."""
    if claim not in BOXES:
        return "", "no experiment here", AGREES["open"][1]
    if BOXES[claim].judge is None:
        return "", "measured while its page is built", AGREES["open"][1]
    if (said := found(claim)) is None:
        return "", *AGREES["open"]
    ours, agrees, why = said
    return f"{_first(why)} ({figure_of(claim, ours)})", *AGREES[agrees]


def figure_of(claim: str, ours: Mapping | str) -> str:
    """The figure that stands for a claim, by name. Raises LookupError if none of what was measured begins like that."""
    if isinstance(ours, str):
        return ours
    if "value" in ours:
        return pct(ours)
    names = [name for name in ours if name.startswith(BOXES[claim].main)]
    if not names:
        raise LookupError(
            f"{claim}: nothing that was measured begins with {BOXES[claim].main!r}; there is {', '.join(ours)}"
        )
    value = ours[names[0]]
    return f"{names[0]}: {pct(value) if isinstance(value, Mapping) else value}"


def _first(text: str) -> str:
    return re.split(r"(?<=[a-z\d%)”]\.)\s+(?=[A-Z“])", text)[0]
