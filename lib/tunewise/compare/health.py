"""What is wrong with labelled rows, with row numbers, and what was done about it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tunewise.compare.answer_scoring import right_answers
from tunewise.compare.base import ANSWER_TOKENS, TEXT_TOKENS, Columns, Finding, Item
from tunewise.compare.label_errors import label_errors
from tunewise.compare.personal_data import SENSITIVE, kinds
from tunewise.compare.printable import CONTROL_CHARACTER, visible
from tunewise.near_duplicates import plain
from tunewise.words import counted

if TYPE_CHECKING:
    from tunewise.compare.sampling import RawRow
    from tunewise.compare.splits import Ties

ENCODER_WINDOW = 256
MANY_LONG = 0.1  # of all texts: then what prompting and fine-tuning reach is a matter of where they were cut
IMBALANCE = 10  # times as many rows of the most frequent label as of the rarest
ODD_LENGTH = 10  # times the median length
LEAST_VALIDATION = 20  # rows: settings are chosen by them
CONTROL_TOKEN = re.compile(
    r"<\|[\w.-]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
)
BREAK = re.compile(r"[\x0b\x0c\x1c-\x1f\x85]")  # of a line or page: it parts words
HTML = re.compile(
    r"</?(?:p|br|div|span|a|b|i|ul|li|table|tr|td|html|body|font|img|script|style|h[1-6])(?:\s[^<>]*)?/?>",
    re.I,
)
FORMULA = re.compile(r"=\s*[A-Z][A-Z0-9.]*\s*\(|=\s*\$?[A-Z]{1,3}\$?\d+")


def listed(rows: Iterable[int], most: int = 5) -> str:
    """``rows 2, 5 and 9``, or ``rows 2, 5, 9, 11, 12 and 30 more``."""
    numbers = sorted(set(rows))
    shown = [str(n) for n in numbers[:most]]
    if len(numbers) > most:
        return f"rows {', '.join(shown)} and {len(numbers) - most:,} more"
    return f"row{'s' * (len(numbers) > 1)} {' and '.join([', '.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)}"


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: four characters of ASCII each, one and a half bytes of other scripts."""
    ascii_characters = len(text) if text.isascii() else sum(map(str.isascii, text))
    other = (
        0 if ascii_characters == len(text) else len(text.encode("utf-8", "surrogatepass")) - ascii_characters
    )
    return round(ascii_characters / 4 + other / 1.5) + 1


def without_control_characters(text: str) -> str:
    """The text without terminal escapes, control and direction characters; a line or page break among them becomes a space."""
    if not CONTROL_CHARACTER.search(text):
        return text
    return visible(BREAK.sub(" ", text)).strip()


def of_reading(
    name: str, no_text: Sequence[int], labelled: int, sampled: Sequence[RawRow], unlabelled: int
) -> list[Finding]:
    """Rows without a text, without a target, rows that a sample leaves out, and control characters that were cut."""
    found = []
    if rows := tuple(raw.row for raw in sampled if raw.cut):
        said = (
            f"{name}: control characters, such as terminal escapes, in {counted(len(rows))} ({listed(rows)})."
        )
        found.append(Finding("control_character", rows, said, "cut out of text and target"))
    n = len(no_text) + labelled + unlabelled
    if no_text:
        said = f"{name}: no text in {len(no_text):,} of {n:,} rows ({listed(no_text)})."
        found.append(Finding("empty", tuple(no_text), said, "left out", len(no_text) > 0.05 * n))
    if unlabelled:
        said = f"{name}: a text but no target in {unlabelled:,} of {n:,} rows."
        found.append(
            Finding(
                "unlabelled",
                (),
                said,
                "kept apart, as rows that could be labelled next",
                unlabelled > 0.05 * n,
            )
        )
    return [*found, *of_sample(name, "labelled rows", labelled, len(sampled))]


def of_sample(name: str, what: str, there: int, used: int) -> list[Finding]:
    """That only a sample of the rows is used, where that is so."""
    said = f"{name} has {there:,} {what}; a random sample of {used:,} is used."
    done = "the same rows each time, chosen by a hash of their content and the seed"
    return [Finding("sampled", (), said, done)] if used < there else []


def _folded(text: str) -> str:
    """What two texts share that are the same: all signs, in whatever case and white space (C++ is not C#, and a thumb up is none down)."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def without_repeats(name: str, items: Sequence[Item], columns: Columns) -> tuple[list[Item], list[Finding]]:
    """Each text once (in each given split), and none with two labels, since no method can be right on both."""
    kept: dict[tuple[str, str], list[Item]] = defaultdict(list)
    again, clashes = [], []
    for item in items:
        split = item.features.get(columns.split, "") if columns.split else ""
        same = kept[split, _folded(item.text)]
        if same and any(other.target == item.target for other in same):
            again.append(item.row)
        else:
            same.append(item)
    targets: dict[str, set[str | None]] = defaultdict(set)
    for (_, text), same in kept.items():
        targets[text] |= {item.target for item in same}
    found = []
    if again:
        said = f"{name}: text and target of an earlier row again in {counted(len(again))} ({listed(again)})."
        found.append(
            Finding("duplicate", tuple(again), said, "each is used once", len(again) > 0.2 * len(items))
        )
    left = []
    for (_, text), same in kept.items():
        if len(targets[text]) > 1 and columns.kind == "classification":
            clashes += same
        else:
            left += same
    if clashes:
        first = [item for item in clashes if _folded(item.text) == _folded(clashes[0].text)]
        example = " and ".join(f"row {i.row} {(i.target or '')[:30]!r}" for i in first[:2])
        n = len({_folded(item.text) for item in clashes})
        said = f"{name}: the same text with two labels: {counted(n, 'text')} (such as {example}; {listed(i.row for i in clashes)})."
        rows = tuple(sorted(item.row for item in clashes))
        found.append(Finding("two_labels", rows, said, "left out: decide on one label each", True))
    several = [item.row for (_, text), same in kept.items() if len(targets[text]) > 1 for item in same]
    if several and columns.kind != "classification":
        said = f"{name}: the same text with another target in {counted(len(several))} ({listed(several)})."
        found.append(Finding("two_targets", tuple(sorted(several)), said, "kept, and in the same split"))
    return sorted(left, key=lambda item: item.row), found


def apart(
    name: str, items: Sequence[Item], split: list[str], ties: Ties
) -> tuple[list[Item], list[str], list[Finding]]:
    """Items and splits without those that the splits have in common: what the test holds leaves training and validation.

    Where that would cost more than a third of training, it is only said.
    """
    gone: set[int] = set()
    shared: set[int] = set()
    for members in ties.bundles().values():
        there = {split[i] for i in members}
        if len(there) > 1:
            highest = next(s for s in ("test", "valid") if s in there)
            shared |= set(members)
            gone |= {i for i in members if split[i] != highest}
    found = []
    costly = sum(split[i] == "train" for i in gone) > split.count("train") / 3
    near = {i for pair in ties.near for i in pair}
    if near:
        rows = tuple(sorted(items[i].row for i in near))
        said = f"{name}: near-duplicates: {counted(len(near))} ({listed(rows)})."
        done = "near-duplicates stay in one split"
        if gone:
            done = "see the leak" if costly else "near-duplicates are used in one split only"
        if ties.templated:
            said += f" {len(ties.templated):,} of them seem to follow a template."
            done = "only the closest of these stay in one split, since all together would fill it: figures may be too good"
        found.append(Finding("near_duplicate", rows, said, done, bool(ties.templated)))
    if gone:
        rows = tuple(sorted(items[i].row for i in shared))
        said = f"{name}: near-duplicates or one group in different splits, a leak: {counted(len(shared))} ({listed(rows)})."
        done = f"{counted(len(gone))} left out of training and validation"
        if costly:
            done, gone = "nothing, because too few rows would be left: figures may be too good", set()
        found.append(Finding("leak", rows, said, done, True))
    left = [i for i in range(len(items)) if i not in gone]
    return [items[i] for i in left], [split[i] for i in left], found


def look(
    name: str,
    items: Sequence[Item],
    split: Sequence[str],
    columns: Columns,
) -> list[Finding]:
    """Everything else: few validation rows, balance, lengths, odd rows, likely label errors, personal data, control tokens, HTML, formulas."""
    found = []
    if (n := split.count("valid")) < LEAST_VALIDATION:
        said = f"{name}: {counted(n)} for validation, by which settings are chosen: fewer than {LEAST_VALIDATION} tell little."
        more = (
            f"mark more rows as valid in {columns.split!r}"
            if columns.split
            else "label about 100 rows in all"
        )
        done = f"nothing: {more}, and take no small difference between settings seriously until then"
        found.append(Finding("few_validation", (), said, done, True))
    if columns.kind == "classification":
        found += _balance(name, items, split)
        found += label_errors(name, items)
    else:
        found += _long_answers(name, items)
    found += _lengths(name, items)
    found += _personal(name, items)
    for kind, pattern, what, done in (
        (
            "control_token",
            CONTROL_TOKEN,
            "what looks like a control token of a model, such as <|im_start|>,",
            "kept as text; no model reads it as a command",
        ),
        ("html", HTML, "HTML", "kept as text: take it out if it is not what the model will see"),
    ):
        if rows := tuple(i.row for i in items if pattern.search(i.text) or pattern.search(i.target or "")):
            found.append(
                Finding(kind, rows, f"{name}: {what} in {counted(len(rows))} ({listed(rows)}).", done)
            )
    if rows := tuple(i.row for i in items if FORMULA.match(i.text) or FORMULA.match(i.target or "")):
        found.append(
            Finding(
                "formula",
                rows,
                f"{name}: a formula instead of its result in {counted(len(rows))} ({listed(rows)}).",
                "kept as text, never computed",
            )
        )
    return found


def spellings(labels: Iterable[str]) -> list[list[str]]:
    """Labels that are one label in several spellings; spaces between digits count."""
    of: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        words = plain(label) or label
        of[words if any(map(str.isdigit, words)) else words.replace(" ", "")].append(label)
    return [same for same in of.values() if len(same) > 1]


def spelled_apart(same: Iterable[Sequence[str]]) -> str:
    """In words, that such labels differ in their spelling only."""
    listed = "; ".join(" and ".join(repr(label[:40]) for label in labels) for labels in same)
    return f"labels that differ in case, spaces or punctuation only: {listed}"


def _balance(name: str, items: Sequence[Item], split: Sequence[str]) -> list[Finding]:
    counts = Counter(item.target or "" for item in items)
    (most, n_most), (least, n_least) = counts.most_common()[0], counts.most_common()[-1]
    found = []
    if same := spellings([label for label, _ in counts.most_common()]):
        others = {label for labels in same for label in labels[1:]}
        rows = tuple(item.row for item in items if item.target in others)
        said = f"{name}: {spelled_apart(same)}."
        done = "nothing: write them the same way if they mean the same"
        found.append(Finding("label_spelling", rows, said, done, True))
    if n_most >= IMBALANCE * n_least:
        said = f"{name}: {most[:40]!r} has {n_most:,} rows, {least[:40]!r} {n_least:,}: look at recall a label, not at accuracy alone."
        found.append(Finding("imbalance", (), said, "the splits keep these shares"))
    for part, named in (("train", "training"), ("test", "the test")):
        there = {item.target for item, s in zip(items, split, strict=True) if s == part}
        if lacking := sorted(label for label in counts if label not in there):
            said = f"{name}: {named} has no row of {', '.join(repr(label[:40]) for label in lacking)}."
            found.append(
                Finding("label_not_in_split", (), said, "nothing: add rows, or change the split", True)
            )
    return found


def _long_answers(name: str, items: Sequence[Item]) -> list[Finding]:
    tokens = [estimated_tokens(right_answers(item.target or "")[0]) for item in items]
    rows = tuple(i.row for i, n in zip(items, tokens, strict=True) if n > ANSWER_TOKENS)
    said = f"{name}: targets longer than about {ANSWER_TOKENS} tokens: {counted(len(rows))} ({listed(rows)}; the longest has about {max(tokens):,})."
    done = f"nothing: a language model on this machine writes {ANSWER_TOKENS} at most, so that it gets these wrong; shorten them, or ask an endpoint"
    return [Finding("long_answer", rows, said, done, True)] if rows else []


def _lengths(name: str, items: Sequence[Item]) -> list[Finding]:
    tokens = [estimated_tokens(item.text) for item in items]
    found = []
    if rows := tuple(i.row for i, n in zip(items, tokens, strict=True) if n > TEXT_TOKENS):
        said = f"{name}: longer than about {TEXT_TOKENS} tokens: {counted(len(rows), 'text')} ({listed(rows)}; the longest has about {max(tokens):,})."
        done = f"a language model on this machine reads their first {TEXT_TOKENS} tokens only; TF-IDF and an endpoint get all"
        found.append(Finding("too_long", rows, said, done, len(rows) > MANY_LONG * len(items)))
    if rows := tuple(i.row for i, n in zip(items, tokens, strict=True) if n > ENCODER_WINDOW):
        said = f"{name}: longer than about {ENCODER_WINDOW} tokens: {counted(len(rows), 'text')} ({listed(rows)})."
        found.append(
            Finding("cut_by_embedding", rows, said, "sentence encoders may read their beginning only")
        )
    median = sorted(len(i.text) for i in items)[len(items) // 2]
    if rows := tuple(
        i.row for i in items if not plain(i.text) or len(i.text) > ODD_LENGTH * max(median, 200)
    ):
        said = f"{name}: no word, or over {ODD_LENGTH} times the usual length: {counted(len(rows), 'text')} ({listed(rows)})."
        found.append(Finding("odd", rows, said, "kept: look at them"))
    return found


def _personal(name: str, items: Sequence[Item]) -> list[Finding]:
    of: dict[str, list[int]] = defaultdict(list)
    for item in items:
        for kind in {*kinds(item.text), *kinds(item.target or "")}:
            of[kind].append(item.row)
    return [
        Finding(
            "personal",
            tuple(rows),
            f"{name}: what looks like {kind} in {counted(len(rows))} ({listed(rows)}).",
            "kept: a fine-tuned model can repeat what it was trained on, so mask it first if it may not leave",
            kind in SENSITIVE,
        )
        for kind, rows in sorted(of.items())
    ]
