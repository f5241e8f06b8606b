"""The page *What changes with size*: the tests that were made at two or more model sizes, and what the sizes say together.

A claim is *held* where all sizes give it the same verdict, *turned* where two sizes decide it differently, and otherwise decided
at some sizes only, or open at every size (*cannot tell*).
"""

import html
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunewise import __version__
from tunewise import report as rp
from tunewise.comparison import CANNOT_TELL, Comparison
from tunewise.record import NotMeasured, Record
from tunewise.report.figures import AROUND, WORDS, band, row_places
from whentofinetune import book_files, book_records, verdicts
from whentofinetune.pages.verdict import by_size, link, tests_by_size, tests_figure

HELD, TURNED, SOME, OPEN = "held", "turned", "decided at some sizes only", "open at every size"
_TOPICS = (
    "C1 small classifier; C6 forgetting; C7 LoRA forgets less; C9 a voice; C10 JSON; C11 fewer errors; C12 unwritten rule; "
    "C13 tweets, more labels; C14 tweets, fewer labels; C16 jargon; C17 notes; C18 Hindi; C19 distillation; C20 short prompt; "
    "C21 answers judged; C22 new operation; C23 reading; C24 groundedness; C25 long context; C26 examples; C29 many examples; "
    "C30 near examples; C31 secrets; C32 RAG first; C33 RAG with tuning; C34 new facts; C35 style; C36 hallucination; "
    "C38 changed facts; C41 one adapter each; C42 hybrid; C43 choice; C44 data"
)
TOPICS = dict(topic.split(" ", 1) for topic in _TOPICS.split("; "))

Sizes = Mapping[str, verdicts.Verdict]  # size -> verdict of one claim
Found = Mapping[str, Mapping[str, Sizes]]  # group -> claim -> sizes
Sentence = tuple[Mapping[str, str], str]  # the verdicts that it goes with, and the sentence


def group(words: Sequence[str]) -> str:
    """The group of a claim with these verdicts, one a size."""
    decided = {word for word in words if word != CANNOT_TELL}
    if len(decided) > 1:
        return TURNED
    return OPEN if not decided else SOME if CANNOT_TELL in words else HELD


def groups() -> dict[str, dict[str, Sizes]]:
    """The claims about an effect that were tested at two or more sizes: group -> claim -> size -> verdict."""
    found: dict[str, dict[str, Sizes]] = {name: {} for name in (HELD, TURNED, SOME, OPEN)}
    for claim in verdicts.claims():
        sizes = by_size(claim)
        if len(sizes) > 1:
            found[group([v.word for v in sizes.values()])][claim] = sizes
    return found


def listed(found: Found) -> list[str]:
    """All claims of :func:`groups`, in the order of the groups."""
    return [claim for claims in found.values() for claim in claims]


def result(found: Found) -> rp.Html:
    """What the sizes say together, in three sentences."""
    effects = sum(entry["kind"] == "effect" for entry in verdicts.claims().values())
    names = {name: f" ({', '.join(claims)})" if claims else "" for name, claims in found.items()}
    held, turned, some, never = (len(found[name]) for name in (HELD, TURNED, SOME, OPEN))
    ways = "; ".join(f"{claim} ({_words(sizes)})" for claim, sizes in found[TURNED].items())
    return rp.prose(
        f"Of the article's {effects} claims about an effect, {len(listed(found))} were tested at two or more model sizes, and "
        f"{held} of these {'keeps its' if held == 1 else 'keep their'} verdict at every size{names[HELD]}. "
        f"{turned or 'None'} {'get' if turned > 1 else 'gets'} another verdict at another size{ways and f': {ways}'}. "
        f"{some} {'is' if some == 1 else 'are'} decided at some sizes and left open at others{names[SOME]}, "
        f"and {never} {'is' if never == 1 else 'are'} open at every size{names[OPEN]}."
    )


def _words(sizes: Sizes) -> str:
    return ", ".join(f"{size}: {v.word}" for size, v in sizes.items())


def models() -> rp.Html:
    """The models of the ladder: how many experiments were recorded with each, with how many seeds, on what."""
    rows = []
    for model, size in verdicts.LADDER.items():
        paths = sorted((book_files.data_dir() / "runs" / model).glob("*.full.json"))
        if records := [Record.read(path) for path in paths]:
            tested = [c for c in verdicts.claims() if verdicts.verdict(c, model).findings]
            row = {"size": size, "model": model, "experiments": len(records), "claims tested": len(tested)}
            row["seeds"] = statistics.mode(len(r.seeds) for r in records if r.seeds)
            rows.append(row | {"on": book_records.machines(records)})
    return rp.table(rows, "The models; seeds are those of most experiments that draw or train")


def figure(found: Found) -> rp.Figure:
    """Every test of these claims, one row each, with its difference and interval at each size; the margin as a band."""
    drawn = tests_figure(*listed(found))
    layout, shown = drawn.layout, Counter(row for trace in drawn.data for row in trace["hovertext"])
    rows, heads, labels, margins = {}, {}, [], []
    for name, claims in found.items():
        for claim in claims:
            tests = verdicts.claims()[claim]["tests"]
            for part, test in zip(_parts(tests), tests, strict=True):
                if (row := f"{claim}: {test['says']}") in shown:
                    heads.setdefault(name, row)  # the group's name stands above its first row
                    rows[row] = shown[row], int(heads[name] == row)
                    labels.append(f"{claim}{part} {TOPICS[claim]}")
                    margins.append(test["margin"])
    places, height = row_places(rows, apart=24)
    free = {row: iter(place) for row, place in places.items()}
    for trace in drawn.data:
        trace |= {"y": [next(free[row]) for row in trace["hovertext"]]}
        trace["marker"] |= {"size": 7}
    bands = [band(m, place) for m, place in zip(margins, places.values(), strict=True)]
    layout["shapes"] = bands + [s for s in layout["shapes"] if s["type"] == "line"]
    middle = [statistics.mean(place) for place in places.values()]
    words = dict(x=0, xref="paper", xanchor="left", yanchor="bottom", showarrow=False, font=dict(size=13))
    layout["annotations"] = [
        dict(y=places[row][0] + WORDS, text=name[0].upper() + name[1:], **words)
        for name, row in heads.items()
    ]
    axis = dict(tickvals=middle, ticktext=labels, tickfont=dict(size=11), range=[-height, 0])
    layout["yaxis"] = axis | dict(automargin=True, showgrid=False, zeroline=False)
    layout |= dict(height=AROUND + height, title=dict(text="The same tests at each model size"))
    said = "; ".join(f"{name}: {', '.join(claims)}" for name, claims in found.items() if claims)
    alt = f"{len(places)} paired differences, each at every size measured. {said}."
    return rp.Figure(drawn.data, layout, alt)


def _parts(tests: Sequence) -> Sequence[str]:
    """What tells a claim's tests apart: a letter each, where there are several."""
    return "abcdef"[: len(tests)] if len(tests) > 1 else [""]


def notes(claims: Mapping[str, Sizes], said: Mapping[str, Sentence]) -> rp.Html:
    """These claims, each with its tests at every size, a link to its verdict box, and what we make of it.

    said: claim -> (the verdicts that a sentence goes with, the sentence), see :func:`goes_with`. If a record says otherwise, it is left out.
    """
    items, lines = [], []
    for claim, sizes in claims.items():
        entry, (*_, last) = verdicts.claims()[claim], sizes.values()
        to = link(_words(sizes), f"{entry['chapter']}.html#{claim}")
        tests = tests_by_size(claim, sizes)
        shown = [f"<b>{claim}. {html.escape(entry['claim'])}</b> {to}"]
        shown += [
            f"<small>{html.escape(f'({part}) {test}' if part else test)}</small>"
            for part, test in zip(_parts(tests), tests, strict=True)
        ]
        expected, sentence = said.get(claim, ({}, ""))
        if goes_with(expected, sizes):
            shown.append(html.escape(sentence))
        colour, body = verdicts.MARKS[last.word][1], "<br>".join(shown)
        items.append(f'<li style="--tw-mark:{colour}">{body}</li>')
        lines.append(f"{claim}. {entry['claim']} {_words(sizes)}")
    return rp.Html(f'<ul class="tw-claims">{"".join(items)}</ul>', "\n".join(lines))


def goes_with(expected: Mapping[str, str], sizes: Sizes) -> bool:
    """Whether the records give these verdicts. A key is a size, ``"0.5B"``, or a test of the claim at a size, ``"0.5B b"``."""
    words = {size: v.word for size, v in sizes.items()}
    for size, v in sizes.items():
        words |= {f"{size} {part}": f.verdict for part, f in zip("abcdef", v.findings, strict=False)}
    return expected.items() <= words.items()


def steps(found: Found, small: str, large: str) -> dict[str, tuple[verdicts.Finding, verdicts.Finding]]:
    """Test, such as ``"C10b JSON"`` -> its finding at two sizes; only differences in points.

    A comparison that several claims share stands here once, under the names of all.
    """
    pairs: dict[tuple[float, ...], tuple[list[str], verdicts.Finding, verdicts.Finding]] = {}
    for claims in found.values():
        for claim, sizes in claims.items():
            if small in sizes and large in sizes:
                a, b = sizes[small].findings, sizes[large].findings
                for part, x, y in zip(_parts(a), a, b, strict=True):
                    if x.unit == "points":
                        key = tuple(v for f in (x, y) for v in (f.comparison.estimate, f.comparison.se))
                        pairs.setdefault(key, ([], x, y))[0].append(claim + part)
    return {
        f"{', '.join(names)} {TOPICS[names[0].rstrip('abcdef')]}": (x, y) for names, x, y in pairs.values()
    }


def changes(found: Found, small: str, large: str) -> dict[str, Comparison]:
    """Each test's difference at one size minus that at a smaller one; the intervals hold for all together (Bonferroni)."""
    pairs = steps(found, small, large)
    level = 1 - 0.05 / max(len(pairs), 1)
    return {name: change(a.comparison, b.comparison, level) for name, (a, b) in pairs.items()}


def change(small: Comparison, large: Comparison, level: float) -> Comparison:
    """One difference minus another, as of independent samples (Welch's degrees of freedom)."""
    a, b = large.se**2, small.se**2
    df = (a + b) ** 2 / (a**2 / large.df + b**2 / small.df)
    values = (large.estimate - small.estimate, math.sqrt(a + b), df, large.estimate, small.estimate)
    n, groups = min(small.n, large.n), min(small.groups, large.groups)
    return Comparison(*values, n, groups, binary=False, level=level)


def changes_table(found: Found, small: str, large: str) -> rp.Html:
    """The differences that changed clearly from one size to another, and how wide the intervals of all these changes are."""
    pairs, every = steps(found, small, large), changes(found, small, large)
    clear = [name for name, c in every.items() if c.significant]
    said = f"From {small} to {large}, {len(clear)} of {len(every)} differences changed clearly"
    if every:
        wide = 100 * statistics.median((c.high - c.low) / 2 for c in every.values())
        said += f"; half of the intervals of a change reach more than {wide:.0f} points to either side"
    if not clear:
        return rp.prose(f"{said}.")
    columns = (f"at {small}", f"at {large}", "change")
    rows = [
        {"test": name} | {k: rp.points(c.metric(), n=False) for k, c in zip(columns, cells, strict=True)}
        for name in clear
        for cells in [(*(f.comparison for f in pairs[name]), every[name])]
    ]
    return rp.table(rows, said)


# What the number of training examples is called in the parameters of an experiment.
_TAUGHT = {
    "labels": "distillation gain_prediction task_diversity",
    "items": "groundedness",
    "texts": "judge",
    "pairs": "new_language",
}
_TAUGHT |= {"questions": "jargon", "notes": "notes"}
_TAUGHT |= {"readings": "rag_citations rag_dynamic rag_hallucination rag_hybrid rag_knowledge"}


def taught() -> rp.Html:
    """The experiments in which a larger model learned from more examples than the smallest."""
    rows = []
    for what, experiments in _TAUGHT.items():
        for name in experiments.split():
            params = {size: _params(name, model) for model, size in verdicts.LADDER.items()}
            counts = {size: p[what] for size, p in params.items() if p.get("seeds")}
            if len(set(counts.values())) > 1:
                rows.append({"experiment": name} | {f"examples at {size}": n for size, n in counts.items()})
    if not rows:
        return rp.prose("In no experiment did a larger model learn from more examples than the smallest.")
    return rp.table(rows, "Experiments in which a larger model was also taught more")


def _params(experiment: str, model: str) -> Mapping[str, Any]:
    """The parameters of the book's record; none where there is no record."""
    try:
        return book_records.load(experiment, model=model).params
    except NotMeasured:
        return {}


def items(found: Found) -> rp.Html:
    """In how many tests the largest size measured answered more items than the smallest."""
    several = (list(sizes.values()) for claims in found.values() for sizes in claims.values())
    pairs = [pair for few, *_, many in several for pair in zip(few.findings, many.findings, strict=True)]
    counts = [b.comparison.n / a.comparison.n for a, b in pairs if a.comparison]
    more = [ratio for ratio in counts if ratio > 1]
    times = f", up to {max(more):.0f} times as many" if more else ""
    words = "tests more items were asked at the largest size measured than at the smallest"
    return rp.prose(f"In {len(more)} of {len(counts)} {words}{times}.")


def citation() -> rp.Html:
    """How to cite the page: with the version and the day of the newest record."""
    runs = book_files.data_dir() / "runs"
    newest = max(Record.read(path).date for path in runs.glob("*/*.full.json"))
    book = f"When to Fine-Tune, version {__version__}, records up to {newest}"
    return rp.prose(f"The authors of When to Fine-Tune ({newest[:4]}): “What changes with size”. In: {book}.")
