"""Arms of the model as it is: a prompt alone, a prompt with examples, and the user's own prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunewise import prompting
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import TEXT_TOKENS, ArmResult, Cost, Item
from tunewise.compare.own_prompt import our_templates, read_prompt
from tunewise.compare.workbench import Arm, Pace, Workbench, accuracy, log_loss
from tunewise.prompting import EMPTY_TEXTS, PromptTemplate, Shot
from tunewise.step_cache import digest

SHOTS = (4, 16, 64)  # in one prompt for all texts, as many as fit
NEAREST = (4,)  # for each text its own: the model reads all of them for each
WINDOW_TOKENS = 2048  # of a prompt with examples, at most


def arms(bench: Workbench) -> list[Arm]:
    """The prompt alone, with examples, and the user's own where there is one."""
    valid, test = len(bench.data.valid), len(bench.data.test)

    def examples(pace: Pace) -> float:
        shared = pace.reading(2 * len(SHOTS) * valid + 3 * sum(SHOTS) + test)
        return shared + pace.reading((max(NEAREST) + 1) * (valid + test))

    found = [
        Arm(
            "zero_shot", "The model with a prompt", "prompt", zero_shot, lambda p: p.reading(3 * valid + test)
        ),
        Arm("few_shot", "The model with a prompt and examples", "prompt", few_shot, examples),
    ]
    if path := bench.settings.prompt_file:
        own = read_prompt(path, bench.labels)
        inputs = [own.system, own.prompt, dict(own.labels)]
        title = "The model with your own prompt"
        found.append(
            Arm(
                "own_prompt",
                title,
                "prompt",
                own_prompt,
                lambda p: p.reading(2 * valid + test),
                inputs=lambda: inputs,
            )
        )
    return found


def zero_shot(bench: Workbench) -> ArmResult:
    """Three templates, one of them the model's chat, plain and calibrated; chosen on validation."""
    templates = our_templates(bench.ctx.lm.tokenizer, bench.data.columns.target)
    return _best(bench, ("zero_shot", "The model with a prompt", "prompt"), [_Prompt(t) for t in templates])


def own_prompt(bench: Workbench) -> ArmResult:
    """The user's prompt as plain text and as a chat, plain and calibrated; chosen on validation."""
    path = bench.settings.prompt_file
    if path is None:
        raise ValueError("no prompt file was given")
    templates = read_prompt(path, bench.labels).templates(bench.ctx.lm.tokenizer, bench.task.labels)
    return _best(
        bench, ("own_prompt", "The model with your own prompt", "prompt"), [_Prompt(t) for t in templates]
    )


def few_shot(bench: Workbench) -> ArmResult:
    """Random, balanced and nearest examples, as many as fit, plain and calibrated; template and all chosen on validation."""
    train, seed = list(bench.train), bench.settings.seed
    pool = [(bench.shorten(i.text), y) for i, y in zip(train, bench.y(train), strict=True)]
    templates = our_templates(bench.ctx.lm.tokenizer, bench.data.columns.target)
    few = min(SHOTS[0], len(pool))
    drawn = [_Prompt(t, prompting.random_shots(pool, few, seed), "random") for t in templates]
    if not (first := [p for p in drawn if p.fits(bench, math.inf)]):
        raise ValueError(
            f"{few} examples and a text do not fit into the model's window: take a model with a longer one (--model)"
        )
    template = max(first, key=lambda p: p.valid_accuracy(bench)).template
    rarest = min(np.bincount([y for _, y in pool], minlength=len(bench.labels)))
    prompts = list(first)
    for k in SHOTS:
        draws = [("random", prompting.random_shots(pool, k, seed))] if k <= len(pool) else []
        if k <= rarest * len(bench.labels):
            draws.append(("balanced", prompting.balanced_shots(pool, k, len(bench.labels), seed)))
        prompts += [p for how, shots in draws if (p := _Prompt(template, shots, how)).fits(bench)]
    for k in NEAREST:
        if k <= len(pool) and (p := _Prompt(template, pool, "nearest", k)).fits(bench):
            prompts.append(p)
    arm = ("few_shot", "The model with a prompt and examples", "prompt")
    return _best(bench, arm, list({digest(p.settings(bench)): p for p in prompts}.values()))


class _Prompt:
    """A template with examples: drawn once for all texts, or (``nearest``) the k nearest of ``shots`` for each."""

    def __init__(
        self, template: PromptTemplate, shots: Sequence[Shot] = (), how: str = "", nearest: int = 0
    ) -> None:
        self.template, self.shots, self.how, self.nearest = template, list(shots), how, nearest

    def settings(self, bench: Workbench) -> dict[str, Any]:
        """What was tried, as the report names it."""
        k = self.nearest or len(self.shots)
        return {"template": self.template.name} | ({"examples": k, "drawn": self.how} if k else {})

    def prefix(self, bench: Workbench) -> str:
        """What all texts share."""
        if self.nearest:
            return self.template.instruction(bench.task)
        return self.template.prefix(bench.task, self.shots)

    def fits(self, bench: Workbench, most: float = WINDOW_TOKENS) -> bool:
        """Whether the examples leave room for a text in the model's window, and in ``most`` tokens."""
        from tunewise.models.packing import encode

        lm = bench.ctx.lm
        window = min(most, getattr(lm.model.config, "max_position_embeddings", WINDOW_TOKENS))
        longest = sorted(self.shots, key=lambda s: -len(s[0]))[: self.nearest] if self.nearest else self.shots
        return len(encode(lm.tokenizer, self.template.prefix(bench.task, longest))) + TEXT_TOKENS <= window

    @property
    def end(self) -> str:
        """What follows an answer, up to the end of its line."""
        return self.template.separator.partition("\n")[0] or self.template.separator

    def queries(self, bench: Workbench, items: Sequence[Item]) -> list[str]:
        """What each text adds."""
        queries = [self.template.query(bench.task, bench.shorten(i.text)) for i in items]
        if not self.nearest:
            return queries
        known, asked = bench.embed([t for t, _ in self.shots]), bench.embed([i.text for i in items])
        chosen = prompting.nearest_shots(self.shots, known, asked, self.nearest)
        opening = self.prefix(bench)
        return [
            self.template.prefix(bench.task, s)[len(opening) :] + q
            for s, q in zip(chosen, queries, strict=True)
        ]

    def scores(self, bench: Workbench, items: Sequence[Item]) -> tuple[np.ndarray, float]:
        """Log-probabilities of the labels [n, labels], and seconds a text."""
        answers = self.template.answers(bench.task.labels)
        return bench.scores(self.prefix(bench), self.queries(bench, items), answers, self.end)

    def valid_accuracy(self, bench: Workbench) -> float:
        """Without calibration."""
        return accuracy(self.scores(bench, bench.data.valid)[0], bench.y(bench.data.valid))

    def bias(self, bench: Workbench) -> np.ndarray:
        """What the prompt says of texts without content, as log-probabilities [labels]; nothing for nearest examples."""
        if self.nearest:
            return np.zeros(len(bench.labels))
        empty = [self.template.query(bench.task, t) for t in EMPTY_TEXTS]
        answers = self.template.answers(bench.task.labels)
        scores, _ = bench.scores(self.prefix(bench), empty, answers, self.end)
        return prompting.label_bias(scores)


def _best(bench: Workbench, arm: tuple[str, str, str], prompts: Sequence[_Prompt]) -> ArmResult:
    """The prompt that does best on validation, calibrated or not, on the test items."""
    from tunewise.scoring import prompt_tokens

    valid, y = bench.data.valid, bench.y(bench.data.valid)
    trials: list[dict[str, Any]] = []
    ranked: list[tuple[float, float, int, _Prompt, np.ndarray]] = []
    for prompt in prompts:
        scores, _ = prompt.scores(bench, valid)
        for calibrated in (False, True)[: 1 if prompt.nearest else 2]:
            bias = prompt.bias(bench) if calibrated else np.zeros(len(bench.labels))
            got = accuracy(scores - bias, y)
            trials.append({**prompt.settings(bench), "calibrated": calibrated, "score": got})
            ranked.append((got, -log_loss(scores - bias, y), len(ranked), prompt, bias))
    *_, place, prompt, bias = max(ranked, key=lambda r: r[:2])
    scores, seconds = prompt.scores(bench, bench.data.test)
    lm, template = bench.ctx.lm, prompt.template
    answers = template.answers(bench.task.labels)
    cost = Cost(
        labels=len(bench.train) if prompt.nearest else len(prompt.shots),
        seconds_a_call=seconds,
        prompt_tokens=prompt_tokens(lm, prompt.prefix(bench), prompt.queries(bench, bench.data.test)),
        completion_tokens=answer_tokens(lm, answers),
        memory=model_bytes(lm),
    )
    settings = {k: v for k, v in trials[place].items() if k != "score"}
    made = prompt_artefact(
        bench, template, prompt.end, prompt.shots, prompt.nearest, bias if bias.any() else ()
    )
    folder = bench.leave(arm[0], made)
    return bench.classified(arm, scores - bias, settings=settings, cost=cost, trials=trials, artefact=folder)


def prompt_artefact(
    bench: Workbench,
    template: PromptTemplate,
    end: str,
    shots: Sequence[Shot] = (),
    nearest: int = 0,
    bias: Sequence[float] | np.ndarray = (),
) -> Artefact:
    """How the prompt is put together, for who uses it elsewhere."""
    answers, after = template.answers(bench.task.labels), template.query(bench.task, "")[1:]
    return Artefact(
        "score",
        bench.labels,
        model=bench.settings.model,
        encoder="minilm" if nearest else "",
        opening=template.instruction(bench.task),
        shots=[(text, answers[y]) for text, y in shots],
        before=template.before,
        after=after,
        separator=template.separator,
        answers=answers,
        end=bench.end(answers, end),
        nearest=nearest,
        bias=[float(b) for b in bias],
    )


def answer_tokens(lm: Any, answers: Sequence[str]) -> float:
    """Mean number of tokens of an answer."""
    from tunewise.models.packing import encode

    return float(np.mean([len(encode(lm.tokenizer, a)) for a in answers]))


def model_bytes(lm: Any) -> int:
    """Bytes of the model's weights in memory."""
    return sum(p.numel() * p.element_size() for p in lm.model.parameters())
