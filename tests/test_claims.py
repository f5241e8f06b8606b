"""The article's claims and the sources: complete, consistent, and decided by their tests and the records alone."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import nbformat
import pytest
import yaml
from pybtex.database import parse_file

from tunewise.comparison import Predicted, mean
from tunewise.report import gap, pct
from whentofinetune import book_records, contrasts, verdicts
from whentofinetune.pages.board import board, combined, summary, tested
from whentofinetune.pages.claims_measured import MEASURED
from whentofinetune.pages.condition_names import named
from whentofinetune.pages.verdict import CERTAINTY, by_size, cite, sources, verdict
from whentofinetune.pages.verdict import tests_figure as figure_of_tests

ROOT = Path(__file__).parents[1]
ENTRIES = yaml.safe_load((ROOT / "data" / "claims.yml").read_text(encoding="utf-8"))
EVIDENCE = [(entry["id"], e) for entry in ENTRIES for e in entry["evidence"]]
TESTS = [(entry["id"], test) for entry in ENTRIES for test in entry.get("tests", ())]
SECTIONS = ["0", "1.1", "1.2", "1.3", "1.4", "1.5", "2.1", "2.2", "3"]  # the article's, in its order


# -- claims -----------------------------------------------------------------------------------------------------------


def test_all_claims_are_there_in_the_articles_order():
    assert [entry["id"] for entry in ENTRIES] == [f"C{i}" for i in range(1, 45)]
    order = [SECTIONS.index(entry["section"]) for entry in ENTRIES]
    assert order == sorted(order) and set(order) == set(range(len(SECTIONS)))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_a_claim_has_its_fields_and_no_others(entry):
    optional = [k for k in ("chapter",) if k in entry]
    tests = ["tests"] if entry["kind"] == "effect" else []
    assert list(entry) == ["id", "section", *optional, "claim", "article_figure", "kind", *tests, "evidence"]
    assert entry["kind"] in verdicts.KINDS
    assert isinstance(entry["section"], str)  # unquoted, YAML reads 1.1 as a number
    assert entry["article_figure"] is None or isinstance(entry["article_figure"], str)
    assert entry["claim"].endswith((".", "?")) and not re.search(r"[.?!] ", entry["claim"]), "one sentence"


@pytest.mark.parametrize(("claim", "test"), TESTS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_test_says_what_is_compared_and_what_difference_matters(claim, test):
    assert test["says"] and test["reason"].endswith(".") and test["margin"] > 0
    assert test["predicted"] in get_args(Predicted)
    assert ("contrast" in test) != ("a" in test and "b" in test)
    assert "contrast" not in test or callable(getattr(contrasts, test["contrast"]))


@pytest.mark.parametrize(("claim", "piece"), EVIDENCE, ids=lambda x: x if isinstance(x, str) else x["source"])
def test_each_piece_of_evidence_names_its_source_and_how_sure_we_are(claim, piece):
    assert set(piece) == {"text", "source", "sure"}
    assert piece["source"] in sources(), f"{claim}: references.bib has no {piece['source']}"
    assert piece["sure"] in CERTAINTY
    assert piece["text"].endswith(".") and not re.search(r"[.?!] [A-Z]", piece["text"]), "one sentence"


def test_only_one_claim_is_without_evidence():
    assert [entry["id"] for entry in ENTRIES if not entry["evidence"]] == ["C27"]


def test_the_same_figure_is_not_told_twice_in_a_claim():
    for entry in ENTRIES:
        texts = [e["text"] for e in entry["evidence"]]
        assert len(texts) == len(set(texts)), entry["id"]


# Read off the article by hand; the claims without an entry here have no figure in it.
ARTICLE = {
    "C1": ["100M", "300M"],
    "C2": ["1B"],
    "C3": ["Table 1", "7B", "13B"],
    "C8": ["4"],
    "C13": ["34", "85"],
    "C14": ["48", "73", "25", "100 examples"],
    "C15": ["50", "few hundred"],
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["id"])
def test_the_articles_figures_are_those_of_the_article(entry):
    figure = entry["article_figure"]
    if entry["id"] not in ARTICLE:
        assert figure is None
        return
    for wanted in ARTICLE[entry["id"]]:
        assert re.search(rf"(?<!\d){re.escape(wanted)}(?!\d)", figure), f"{wanted} is missing in {figure!r}"
    known = set(re.findall(r"\d+", " ".join(ARTICLE[entry["id"]])))
    assert set(re.findall(r"\d+", figure.replace("Llama 2 ", ""))) <= known, (
        "a figure that the article does not give"
    )


def test_figures_that_follow_from_others_are_computed_right():
    def text(claim, source, sure):
        return next(
            e["text"] for c, e in EVIDENCE if c == claim and (e["source"], e["sure"]) == (source, sure)
        )

    assert f"{(73 - 48) / 48:.0%}".replace("%", " %") in text("C14", "jain2024finetune", "inference")
    assert f"{100 / 3:.1f} %" in text("C13", "massarongemma", "inference")
    (a, n), (b, m) = next(
        found for c, e in EVIDENCE if c == "C21" and (found := re.findall(r"(\d+) of (\d+)", e["text"]))
    )
    assert (round(100 * int(a) / int(n), 1), round(100 * int(b) / int(m), 1)) == (
        84.2,
        87.2,
    )  # the shares as published
    assert "1.5 bytes" in text(
        "C5", "torchtunedocs", "read"
    )  # bfloat16 has 2, four bits are half a byte: 2 - 0.5


def test_a_figure_from_memory_is_not_printed():
    """The base price of GPT-3.5 is remembered only, so neither it nor the ratio that follows from it may stand here."""
    text = (ROOT / "data" / "claims.yml").read_text(encoding="utf-8")
    assert not re.search(r"0\.0005|0\.0015|(?<!\d)6 times", text)


# -- sources ----------------------------------------------------------------------------------------------------------


def test_the_small_parser_reads_what_pybtex_reads():
    """The verdict box has its own reader of one field a line: a field that is broken over two lines would be lost."""
    by_pybtex = parse_file(ROOT / "references.bib", bib_format="bibtex").entries
    assert list(by_pybtex) == list(sources())
    for key, entry in by_pybtex.items():
        for name, value in entry.fields.items():
            assert sources()[key][name] == value.replace("{", "").replace("}", ""), (key, name)
        people = [" ".join(p.last_names) or str(p) for p in entry.persons["author"]]
        assert people[0].replace("{", "").replace("}", "") in cite(key)[0]


def test_keys_are_in_order_and_addresses_are_good():
    plain = {key: entry for key, entry in sources().items()}
    for key, entry in plain.items():
        assert entry["url"].startswith("https://"), key
        if "arxiv.org" in entry["url"]:
            number = entry["url"].rsplit("/", 1)[1]
            assert re.fullmatch(r"\d{4}\.\d{5}|\d{4}\.\d{4}", number) and number in entry["howpublished"], key
            assert abs(int(entry["year"]) - 2000 - int(number[:2])) <= 1, (
                f"{key}: {number} is not of {entry['year']}"
            )
    assert len({entry["url"] for entry in plain.values()}) == len(plain)
    assert [k[0] for k in plain] == sorted(k[0] for k in plain)  # a reader finds an entry by its first letter


def _written() -> str:
    """All text in which a source may be named: pages, library, cards."""
    kinds = ("lib/**/*.py", "data/**/*.md", "chapters/*", "labs/*", "instructors/*", "*.md")
    return "\n".join(
        p.read_text(encoding="utf-8") for kind in kinds for p in sorted(ROOT.glob(kind)) if p.is_file()
    )


def test_no_source_is_listed_for_nothing():
    named, text = {e["source"] for _, e in EVIDENCE}, _written()
    cited = {
        key for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text) for key in re.split(r"[,\s]+", group)
    }
    assert cited <= set(sources()), f"cited, but not in references.bib: {cited - set(sources())}"
    for key in set(sources()) - named - cited:
        entry = sources()[key]
        surname = entry["author"].split(",")[0]
        in_words = re.search(rf"{re.escape(surname)}\b.{{0,60}}{entry['year']}", text, flags=re.DOTALL)
        number = entry["url"].rsplit("/", 1)[1]
        assert in_words or number in text, f"{key} is named nowhere"


# -- verdicts ---------------------------------------------------------------------------------------------------------


def boxes() -> list[tuple[str, str, dict]]:
    """Chapter, claim and keywords of each call of ``verdict`` in a notebook; figures of ``measured`` are left out, facts say a word."""
    found = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type != "code":
                continue
            tree = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE))
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "verdict":
                    given = {k.arg: k.value for k in call.keywords if k.arg != "measured"}
                    words = {k: ast.literal_eval(v) for k, v in given.items() if k != "facts"}
                    if "facts" in given:
                        words["facts"] = {key.value: lambda record: "a fact" for key in given["facts"].keys}
                    found.append((path.stem, ast.literal_eval(call.args[0]), words))
    return found


@pytest.mark.parametrize(
    ("chapter", "claim", "words"), boxes(), ids=lambda x: x if isinstance(x, str) else ""
)
def test_the_sentence_of_a_box_goes_with_the_verdict_that_the_records_give(chapter, claim, words):
    found = verdicts.headline(claim)
    sizes = {size: v.word for size, v in by_size(claim).items()}
    assert words["expects"] in (found.word, sizes), f"{chapter}: write the sentence on {claim} anew"
    assert words["why"].endswith(".") and all(
        f"{{{name}}}" in words["why"] for name in words.get("facts", ())
    )
    assert verdict(claim, **words).text.count("verdict: ") == 1


def test_each_chapter_that_a_claim_names_has_its_box():
    shown = {(chapter, claim) for chapter, claim, _ in boxes()}
    assert {(e["chapter"], e["id"]) for e in ENTRIES if "chapter" in e} <= shown


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["kind"] == "effect"], ids=lambda e: e["id"])
def test_each_test_finds_its_rows_in_the_records(entry):
    found = verdicts.verdict(entry["id"])
    assert len(found.findings) == len(entry["tests"]), "no rows: not yet measured"
    assert all(f.comparison.n >= 5 for f in found.findings)


@pytest.mark.parametrize(
    ("lora", "word"),
    [("1", "agrees"), ("0", "does not agree"), ("same", "no difference that matters")],
)
def test_a_verdict_follows_from_the_outcomes(monkeypatch, lora, word):
    load = book_records.load
    prompts = load("wordings").where(method="score", split="valid")
    best = max(prompts, key=lambda r: r["accuracy"]["value"])["wording"]
    prompt = load("wordings").one(method="score", split="test", wording=best)

    def changed(name, scale="full", model=None):
        record = load(name, scale, model)
        if name != "learning_curve":
            return record
        same = {i: str(int(o)) for i, o in zip(prompt.items, prompt.outcomes("accuracy"), strict=True)}
        rows = []
        for row in record.results:
            found = "".join(same[i] if lora == "same" else lora for i in row.items)
            rows.append(row.raw | {"outcomes": {"accuracy": found}} if row["method"] == "lora" else row.raw)
        return replace(record, rows=rows)

    monkeypatch.setattr(book_records, "load", changed)
    assert verdicts.verdict("C13").word == word


def test_the_rival_that_comes_closest_decides():
    (first, *_), rivals = verdicts.verdict("C1").findings, verdicts.claims()["C1"]["tests"][0]["b"]
    curve, shots = book_records.load("learning_curve"), book_records.load("few_shot")
    a = curve.frame().query("method == 'embeddings' and n_labels == 300").accuracy.mean()
    means = []
    for rival in rivals:
        rows = shots.where(**{k: v for k, v in rival.items() if k != "experiment"})
        means.append(sum(sum(r.outcomes("accuracy")) / len(r.items) for r in rows) / len(rows))
    assert named(
        first.rival
    ) == "few-shot, nearest, 4 examples" and first.comparison.estimate == pytest.approx(a - max(means))


def test_each_rival_has_a_name_without_the_names_of_parameters():
    rivals = [
        {"experiment": test.get("experiment"), **b}
        for _, test in TESTS
        if isinstance(test.get("b"), list)
        for b in test["b"]
    ]
    assert len(rivals) > 20
    for rival in rivals:
        told = named(rival)
        assert not re.search(r"[_{=]|True|False|\bk \d|\bmethod\b", told), told
        assert str(rival.get("k", "")) in told or "passages" in rival
    with pytest.raises(KeyError, match="no words for"):
        named({"experiment": "voice", "method": "telepathy"})


def test_a_test_that_cannot_tell_says_what_would_settle_it():
    open_ones = 0
    for entry in (e for e in ENTRIES if e["kind"] == "effect"):
        found = verdicts.headline(entry["id"])
        items = verdict(entry["id"], found.word, "Said.").html.split("<dt>Tested</dt>")[-1].split("</ul>")[0]
        for item, f in zip(items.split("<li>")[1:], found.findings, strict=True):
            settles = re.search(r"would settle it|takes more of them|too near the margin", item)
            assert bool(settles) == (f.verdict == "cannot tell"), item
            open_ones += f.verdict == "cannot tell"
            assert ("may hold 0" in item) == (f.predicted == "not below")
    assert open_ones > 5


def test_the_table_of_two_tests_says_how_a_claim_is_called():
    table = combined().text
    assert re.search(r"one agrees, one cannot tell +cannot tell", table)
    assert re.search(r"one agrees, the other does not agree.* +agrees in part", table)


def test_a_kind_that_has_no_size_stands_across_all_sizes():
    row = board("C8").html.split("<tbody>")[1]
    assert row.count("<td") == 1 and f'colspan="{len(verdicts.LADDER)}"' in row and "</span> measured" in row
    assert board("C1").html.split("<tbody>")[1].count("<td>") == len(verdicts.LADDER)


def test_every_claim_makes_a_box():
    """The box shows each piece of evidence with a link and says how sure it is, and each test; for all 44."""
    for entry in ENTRIES:
        found = verdicts.headline(entry["id"])
        source = verdict(entry["id"], found.word, "Said by this test.")._repr_html_()
        measured = MEASURED.get(entry["id"], dict)()
        assert source.count("<li>") == len(entry["evidence"]) + len(found.findings) + len(measured)
        for e in entry["evidence"]:
            assert sources()[e["source"]]["url"].replace("&", "&amp;") in source
            assert CERTAINTY[e["sure"]] in source


def test_a_fact_in_a_box_is_read_from_the_record_of_the_largest_model_measured():
    found = verdicts.headline("C12")
    shown = verdict("C12", found.word, "{size}: {told}.", facts={"told": lambda r: r.params["model"]}).text
    assert f"why: {verdicts.LADDER[found.model]}: {found.model}." in shown
    assert "told" not in verdict("C12", "another verdict", "{told}.", facts={"told": lambda r: "told"}).text


def test_a_sentence_on_several_sizes_goes_with_the_verdicts_at_all_of_them():
    found = by_size("C26")
    words = {size: v.word for size, v in found.items()}
    first, *_ = found["135M"].findings
    shown = verdict("C26", words, "At 135M {at[135M][0]}.").text
    assert f"why: At 135M {100 * first.comparison.estimate:+.0f} points".replace("-", "−") in shown
    for other in ({**words, "135M": "agrees"}, {"135M": words["135M"]}):
        assert "At 135M" not in verdict("C26", other, "At 135M {at[135M][0]}.").text


def test_a_sentence_for_another_verdict_is_not_shown():
    shown = verdict("C26", "another verdict", "Examples help by {0}.").text
    assert "Examples help" not in shown and verdicts.headline("C26").findings[0].reason in shown
    with pytest.raises(ValueError, match="C1 to C44"):
        verdict("C99", "agrees", "")
    with pytest.raises(ValueError, match="leave measured out"):
        verdict("C26", "cannot tell", "", measured={"x": 1})


def test_the_board_lists_every_claim_once_and_the_summary_counts_them():
    lines = board().text.splitlines()
    assert [line.split(".")[0] for line in lines] == [e["id"] for e in ENTRIES]
    said = dict((word, int(n)) for n, word in re.findall(r"(\d+) “([^”]+)”", summary().text))
    assert said == {w: sum(line.endswith(f"| {w}") for line in lines) for w in said}
    assert sum(said.values()) == len(ENTRIES)


def test_what_no_test_decides_has_its_numbers_on_the_page_of_claims():
    items = dict(re.findall(r'<li id="tests-(C\d+)"(.*?)</li>', tested().html))
    for claim, entry in verdicts.claims().items():
        if entry["kind"] in ("measured", "calculated") and claim != "C8":  # its chapter computes it
            assert re.search(r"\d\s(GB|ms|%)", items[claim].split("<br>")[-1]), claim
    record = book_records.load("rag_citations", model="qwen2.5-coder-0.5b")
    planted = mean(record.where(method="reading", condition="planted"), "planted")
    for shown in (items["C39"], verdict("C39", "measured", "").html):
        assert pct(planted).split(",")[0] in shown.replace("\u00a0", " ")


def test_the_figure_of_tests_marks_the_rows_that_are_in_per_cent():
    notes = [note["text"] for note in figure_of_tests("C6").layout["annotations"]]
    assert [note.endswith("(%)") for note in notes] == [True, False]


def test_the_figure_of_tests_draws_differences_only():
    figure = figure_of_tests("C26", "C27")  # C27 rests on a correlation, which has no place on this axis
    measured = [found for m in verdicts.LADDER if (found := verdicts.verdict("C26", m).findings)]
    assert [trace["x"] for trace in figure.data] == [
        [f.comparison.estimate for f in found] for found in measured
    ]


def test_what_boxes_say_beside_their_tests_follows_from_the_records():
    """Sentences without a figure, on what the tests leave out (C9, C12, C14, C19, C22, C24)."""
    small, middle, large = verdicts.LADDER

    def rows(name, model=middle, **settings):
        return book_records.load(name, model=model).where(**settings)

    (rule,) = rows("unwritten_rule", method="rule", split="test")
    assert len(set(rule["predictions"])) == 1  # C12: one desk for every complaint
    lora = {model: rows("learning_curve", model, method="lora", n_labels=100) for model in verdicts.LADDER}
    four = gap(lora[large], rows("few_shot", large, method="random", k=4), "accuracy")
    assert four["low"] > -0.1 and four["high"] < 0.1  # C14: as near as the margin asks
    for model in (small, middle):
        words = gap(lora[model], rows("learning_curve", model, method="lexicon"), "accuracy")
        assert words["low"] < 0 < words["high"]
        for n in (100, 300):  # C19: the encoder fine-tuned, and frozen
            tuned, frozen = (
                rows("learning_curve", model, method=m, n_labels=n) for m in ("encoder", "embeddings")
            )
            assert gap(tuned, frozen, "accuracy")["value"] > 0
    faultless = {}
    for model in (middle, large):  # C9: replies that keep every rule
        tuned = rows("voice", model, method="lora", n_labels=60, with_facts=True)
        prompts = [rows("voice", model, method=m, with_facts=True) for m in ("rules", "examples", "both")]
        faultless[model] = min((gap(tuned, p, "all_rules") for p in prompts if p), key=lambda m: m["value"])
    assert faultless[middle]["low"] > 0 and faultless[large]["low"] < 0 < faultless[large]["high"]
    judge, base, search = (rows("groundedness", method=m) for m in ("lora", "untuned", "contains"))
    plain, centred = (gap(judge, base, m)["value"] for m in ("accuracy", "centred.accuracy"))
    assert 0 < centred < plain / 2  # C24
    apart = gap(judge, search, "accuracy")
    assert apart["low"] < 0 < apart["high"]
    control = rows("invented_operation", method="random", task="frell")
    assert min(r["last_loss"] for r in control) > 2  # C22: its own examples are not fitted


def test_both_orders_exclude_a_loss_of_the_tuned_judge_at_half_a_billion():
    judged = book_records.load("judge", model="qwen2.5-coder-0.5b")
    tuned, base = (judged.where(method=m, scheme="pair") for m in ("tuned", "rubric"))
    assert gap(tuned, base, "both_orders.accuracy")["low"] > -0.05  # C21's margin
