"""Does the form come from a constraint, and the content from tuning? (C10)

Tickets to records in JSON, YAML and Markdown. Methods: the JSON Schema in the prompt, two solved tickets in the prompt, LoRA on solved tickets; each also with constrained decoding. Names,
towns, faults and products of test tickets occur in no training ticket. The recipe was chosen by one trial on tickets of valid.
"""

from collections.abc import Iterator, Sequence

from tunewise.experiment import Condition, Context, Params, Scores
from tunewise.finetune import Recipe
from tunewise.scoring import prompt_tokens
from whentofinetune.classification import subset, training_facts
from whentofinetune.datasets import company
from whentofinetune.experiments import described
from whentofinetune.recipes import three_rates
from whentofinetune.ticket_records import SAYS, drawn, grammar, pairs, prefix, prompt, scored, written


def conditions(p: Params) -> Iterator[Condition]:
    size = {"schema": {}, "examples": {"k": p.k}, "lora": {"n_labels": p.labels}}
    for form, arms in p.forms.items():
        for arm, seeds in arms.items():
            method, _, constraint = arm.partition(" + ")
            for seed in seeds:
                drawn_by = {} if method == "schema" else {"seed": seed}  # nothing is drawn for the schema
                yield Condition(method, form=form, constrained=bool(constraint), **drawn_by, **size[method])


def evaluate(ctx: Context, c: Condition) -> Scores:
    start = prefix(c.form, c.method == "schema", drawn(c.k, c.seed) if c.k else ())
    if c.method != "lora":
        return _records(ctx, ctx.lm, c, start)
    recipe = Recipe(seed=c.seed, **ctx.params.recipe)
    with ctx.adapter(pairs(drawn(c.n_labels, c.seed), c.form), recipe, start) as lm:
        return _records(ctx, lm, c, start, **training_facts(lm))


def _records(ctx: Context, lm, c: Condition, start: str, **facts) -> Scores:
    """What ``lm`` writes for the tickets after the prefix ``start``, scored."""
    tickets = subset(company.tickets(ctx.params.split), ctx.params.test_n)
    prompts = [prompt(t) for t in tickets]
    replies = written(lm, prompts, start, c.form, c.constrained, ctx.params.max_new_tokens)
    tokens = round(prompt_tokens(lm, start, prompts), 1)
    return scored(
        tickets, replies, c.form, prompt_tokens=tokens, replies=replies[: ctx.params.shown], **facts
    )


def _sources(p: Params) -> list:
    """All tickets, prompts and grammars."""
    texts = [[prefix(form, True), prefix(form, False), grammar(form)] for form in SAYS]
    return [texts, [vars(t) for t in company.tickets()]]


def _arms(seeds: Sequence[int]) -> dict[str, list[int]]:
    """Arm -> its seeds; the schema is asked once."""
    methods = {"schema": [0], "examples": list(seeds), "lora": list(seeds)}
    return {f"{method}{end}": s for method, s in methods.items() for end in ("", " + constraint")}


def _of(seeds: Sequence[int]) -> dict:
    """JSON by all seeds, the other forms by one."""
    return {"forms": {"json": _arms(seeds), "yaml": _arms([0]), "markdown": _arms([0])}, "seeds": list(seeds)}


_RECIPE = {"learning_rate": 2e-3, "epochs": 1, "batch_size": 2, "min_steps": 10}
_COMMON = {"model": "smollm2-135m", "split": "test", "recipe": _RECIPE, "k": 2, "max_new_tokens": 110}
_COMMON |= {"shown": 3, "seeds": [0]}
_FIVE = [0, 1, 2, 3, 4]
_SMOKE = {"recipe": _RECIPE | {"min_steps": 1}, "labels": 2, "test_n": 2, "max_new_tokens": 8}
_GPU = {"model": "qwen2.5-1.5b", "recipe": _RECIPE | {"learning_rate": 5e-4}, "labels": 100, "test_n": 120}

EXPERIMENT = described(
    __name__,
    _COMMON,
    sources=_sources,
    larger=_of(_FIVE[:3]) | {"recipe": three_rates(_RECIPE, 2), "test_n": 120, "max_new_tokens": 160},
    smoke=_SMOKE | {"forms": {"json": {"examples + constraint": [0], "lora + constraint": [0]}}},
    laptop={"forms": {"json": {"examples": [0], "examples + constraint": [0]}}, "labels": 20, "test_n": 12},
    full=_of(_FIVE) | {"labels": 60, "test_n": 24},
    gpu=_GPU | {"forms": {form: _arms(_FIVE) for form in company.FORMS}, "seeds": _FIVE},
)
