"""tunewise: measure whether to fine-tune a language model, or to do something else.

A prompt against a tuned model, on labelled texts of your own::

    import tunewise as tw

    task = tw.own_data("tickets.csv")                       # columns are guessed, or text=..., label=...
    template = tw.TEMPLATES["instruction"]
    lm = tw.load("smollm2-135m")                            # the bundled model; a folder or a Hub id does as well
    answers = template.answers(task.labels)
    queries = [template.query(task, e.text) for e in task.test]
    prompted = tw.label_logprobs(lm, template.prefix(task), queries, answers).argmax(axis=1)

    pairs = [(template.query(task, e.text), answers[e.label]) for e in task.train]
    tuned = tw.fine_tune(lm, pairs, tw.Recipe(learning_rate=1e-3), prefix=template.prefix(task))
    after = tw.label_logprobs(tuned, template.prefix(task), queries, answers).argmax(axis=1)

    right = [[p == e.label for p, e in zip(said, task.test)] for said in (after, prompted)]
    gain = tw.compare_arrays([right[0]], [right[1]])
    print(tw.judge(gain, margin=0.05, predicted="above").reason)
    tw.save_adapter(tuned, "my-adapter")                    # PEFT's own format: loads anywhere
"""

import importlib
from typing import Any

__version__ = "0.2.0"

_SAYS = {
    "compare.ask": "a question to your own documents, with the passages that the answer is from",
    "compare.check": "what is in a file of labelled rows, and what is wrong with it",
    "compare.compare": "your own labelled file: what to do, and how sure you can be",
    "compare.export": "what won in a comparison, to be served: merged, as GGUF, and by which commands",
    "models": "the models by name: which are here, what they take, where they come from",
    "compare.serve_check": "whether a served model answers what was evaluated",
}
# Subcommands of ``tunewise``: name -> (module, one line of help).
COMMANDS = {
    name.rpartition(".")[2].replace("_", "-"): (f"tunewise.{name}_command", says)
    for name, says in _SAYS.items()
}

# The names above are imported when they are first asked for, so that `import tunewise` is quick and needs no torch.
_HOMES = {
    "data": ("own_data", "Task", "Example"),
    "models.load": ("load",),
    "models.encoder": ("Encoder",),
    "prompting": ("TEMPLATES", "PromptTemplate"),
    "scoring": ("label_logprobs",),
    "generation": ("generate",),
    "finetune": ("Recipe", "fine_tune", "save_adapter", "load_adapter"),
    "retrieval": ("Retriever",),
    "experiment": ("Condition", "Context", "Experiment", "Scores", "perform"),
    "record": ("Record",),
    "compare": ("compare",),
    "comparison": ("compare_arrays", "judge"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    own = {"fine_tune": "finetune"}.get(name, name)  # the function has the name of its module
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), own)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
