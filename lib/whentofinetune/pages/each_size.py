"""A figure or a table of a record, at each model size that has one; where there is none, the command that makes it."""

from collections.abc import Callable

from tunewise import report as rp
from tunewise.record import Record
from whentofinetune.book_records import committed, load
from whentofinetune.verdicts import LADDER, title


def show(make: Callable, *names: str, **options):
    """What ``make`` makes of the book's records of these names, or a note of the one that is missing."""
    return rp.measured(lambda: make(*map(load, names), **options))


def sizes(name: str) -> dict[str, Record]:
    """Model size -> the book's record of this experiment, for the models of the ladder that have one."""
    return {size: load(name, model=m) for m, size in LADDER.items() if committed(name, model=m).exists()}


def at_each_size(make: Callable, name: str) -> rp.Figure | rp.Html:
    """What ``make`` makes of this record at each model size, by the model's name: figures behind a menu, tables one below the other."""
    made = {title(record.model): make(record) for record in sizes(name).values()} or {"": show(make, name)}
    if all(isinstance(m, rp.Figure) for m in made.values()):
        return rp.choose(made, "model")
    page = "".join(f"<p><strong>{model}</strong></p>{m.html}" for model, m in made.items())
    return rp.Html(page, "\n".join(f"{model}\n{m.text}" for model, m in made.items()))
