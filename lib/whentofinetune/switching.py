"""Several LoRA adapters on one model: how long a change takes, and whether each still answers as it does alone."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tunewise.experiment import Context
from whentofinetune.timing import timed


def switching(
    ctx: Context,
    adapters: Mapping[str, Callable[[], AbstractContextManager[Any]]],
    ask: Callable[[Any, str], np.ndarray],
    changes: int,
) -> dict[str, Any]:
    """Put all adapters on one model at once, change among them, and compare.

    adapters: name of a task -> what, called, gives a ``with`` block with its tuned model. ask: takes a model and a task's name, returns
    scores [items, labels]. changes: how many changes are timed beside those before the comparison of scores. Returns milliseconds (``switch_ms`` of each
    change, ``add_ms``, ``load_model_ms``, answers with and without an adapter), bytes, and whether scores are equal to the last bit after
    switching away and back, and with all adapters off.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    def clock(act: Callable[..., object], *args: Any) -> float:
        return 1000 * timed(act, *args)

    names = list(adapters)
    base, weights, alone = {name: ask(ctx.lm, name) for name in names}, {}, {}
    for name in names:
        with adapters[name]() as tuned:
            state = get_peft_model_state_dict(tuned.model, save_embedding_layers=False)
            weights[name] = {k: v.detach().clone() for k, v in state.items()}
            alone[name] = ask(tuned, name)
    with adapters[names[0]]() as tuned:
        model, called = tuned.model, {names[0]: "default"} | {name: name for name in names[1:]}

        def add(name: str) -> None:
            model.add_adapter(name, model.peft_config["default"])
            set_peft_model_state_dict(model, weights[name], adapter_name=name)

        added = [clock(add, name) for name in names[1:]]
        back, switched = dict.fromkeys(names, True), []
        for name in (*names, *reversed(names)):
            switched.append(clock(model.set_adapter, called[name]))
            back[name] &= bool(np.array_equal(ask(tuned, name), alone[name]))
        for i in range(changes):
            switched.append(clock(model.set_adapter, called[names[i % len(names)]]))
        model.set_adapter("default")
        with_adapter = [clock(ask, tuned, names[0]) for _ in range(3)]
        with model.disable_adapter():
            off = all(np.array_equal(ask(tuned, name), base[name]) for name in names)
            without = [clock(ask, tuned, names[0]) for _ in range(3)]
    return {
        "switch_ms": [round(ms, 3) for ms in switched],
        "add_ms": [round(ms, 1) for ms in added],
        "load_model_ms": round(clock(ctx.load), 1),
        "answers_with_ms": [round(ms, 1) for ms in with_adapter],
        "answers_without_ms": [round(ms, 1) for ms in without],
        "adapter_bytes": sum(v.numel() * v.element_size() for v in weights[names[0]].values()),
        "model_bytes": sum(p.numel() * p.element_size() for p in ctx.lm.model.parameters()),
        "same_after_switching": back,
        "same_when_off": bool(off),
        "compared": {name: int(alone[name].size) for name in names},
    }
