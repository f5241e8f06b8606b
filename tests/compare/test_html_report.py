"""The report: it stands alone, no text of the user's becomes markup or an escape, and what it says fits the verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import made_up
import pytest
from bs4 import BeautifulSoup
from wcwidth import wcswidth

from tunewise.compare.base import Cost, Finding, Settings
from tunewise.compare.decision import decide
from tunewise.compare.html_report import fragment, page, view, write_html
from tunewise.compare.json_report import as_dict, as_json
from tunewise.compare.next_steps import weakest
from tunewise.compare.terminal_table import fitted, table
from tunewise.stats import wilson

HOSTILE = (
    "</style></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"' {{ 7*7 }} \x1b[2J\u202e=cmd()"
)


@pytest.fixture(scope="module")
def report():
    return made_up.report()


@pytest.fixture(scope="module")
def hostile():
    """Text, labels, file name, columns, findings, notes and settings that attack."""
    own = made_up.data(60)
    bad = {label: f"{label}{HOSTILE}" for label in own.labels}
    test = tuple(
        replace(i, text=HOSTILE, target=bad[i.target], features={HOSTILE: f"{n % 2}{HOSTILE}"})
        for n, i in enumerate(own.test)
    )
    columns = replace(own.columns, text=HOSTILE, target=HOSTILE, guessed=(HOSTILE,))
    finding = Finding("empty", (1,), HOSTILE, HOSTILE, serious=True)
    own = replace(
        own, name=HOSTILE, columns=columns, labels=tuple(bad.values()), test=test, findings=(finding,)
    )
    said = dict(title=HOSTILE, settings={HOSTILE: HOSTILE}, trials=({HOSTILE: HOSTILE},), notes=(HOSTILE,))
    arms = [made_up.drawn(name, share, own, **said) for name, share in (("tfidf", 0.5), ("lora", 0.8))]
    made = made_up.report(own=own, tfidf=0.5)
    return replace(
        made,
        arms=arms,
        curve=(),
        missing=[(HOSTILE, HOSTILE)],
        machine=HOSTILE,
        decision=made_up.decide(own, arms, Settings()),
    )


def test_the_page_is_one_file_that_needs_nothing(report, tmp_path):
    source = write_html(report, tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    soup = BeautifulSoup(source, "html.parser")
    assert not soup.find_all(["script", "link", "img", "iframe", "object", "form"])
    assert (
        not soup.find_all(src=True)
        and not soup.find_all(href=True)
        and "url(" not in source
        and "@import" not in source
    )
    assert soup.find("html")["lang"] and soup.find("meta", attrs={"name": "viewport"})
    assert all(svg.get("aria-label") for svg in soup.find_all("svg"))
    headings = [h.get_text() for h in soup.find_all("h2")]
    assert headings[:4] == ["What it rests on", "What it costs", "What to do on Monday", "All arms"]


def test_it_says_the_verdict_first_and_shows_every_arm(report):
    soup = BeautifulSoup(page(report), "html.parser")
    assert soup.find(class_="verdict").p.get_text() == report.decision.sentence
    titles = [th.get_text() for th in soup.find(class_="arms").tbody.find_all("th")]
    assert sorted(titles) == sorted(a.title for a in report.arms)
    assert "No --endpoint" in page(report) or "no --endpoint was given" in page(report)
    text = soup.get_text(" ", strip=True)
    assert "tickets.csv has 2 rows twice: 7, 9." in text and "With 300 labels, twice as many, LoRA" in text


def test_below_the_verdict_stand_the_split_and_the_worst_label(report):
    said = BeautifulSoup(page(report), "html.parser").find(class_="verdict").find_next_sibling("p").get_text()
    assert "150 rows to learn from, 30 to choose settings by, 240 to test on: drawn at random" in said
    best = report.arm("embeddings")
    right = {
        label: sum(
            o for o, i in zip(best.outcomes["accuracy"], report.data.test, strict=True) if i.target == label
        )
        for label in made_up.LABELS
    }
    worst = min(right, key=right.get)
    low, high = (f"{100 * v:.0f}%" for v in wilson(int(right[worst]), 80))
    assert f"{best.named}: {worst}, {100 * right[worst] / 80:.0f}% [{low} to {high}] of 80 right." in said
    by_time = replace(report.data, columns=replace(report.data.columns, time="day"))
    assert "the latest by day are the test" in page(replace(report, data=by_time))
    answers = replace(report.data, columns=replace(report.data.columns, kind="answers"), labels=())
    assert "worst label" not in page(replace(report, data=answers))


def test_a_label_whose_rows_all_belong_together_has_no_interval(report):
    """One draw has no spread; the report is written all the same."""
    test = tuple(replace(i, group="one" if i.target == "other" else i.group) for i in report.data.test)
    own = replace(report.data, test=test)
    arm = made_up.arm("tfidf", [i.target != "other" for i in test], own)
    said = weakest(replace(report, data=own, arms=[arm]), arm)
    assert said.startswith("The worst label of TF-IDF and logistic regression: other, 0% of 80 right, which")
    one = report.arm("tfidf")
    assert page(replace(report, data=own, arms=[arm, one], decision=decide(own, [arm, one], Settings())))


def test_the_worst_label_counts_all_training_runs(report):
    never = {"accuracy": [0.0] * len(report.data.test)}
    arm = made_up.arm("lora", [i.target != "other" for i in report.data.test], report.data, repeats=[never])
    assert "other, 0% [0% to " in weakest(report, arm)
    always = {"accuracy": [1.0] * len(report.data.test)}
    assert "other, 50% [" in weakest(report, replace(arm, repeats=[always]))


def test_the_learning_curve_of_the_arm_to_use_comes_first(report):
    also = [replace(a, name=f"embeddings@{a.cost.labels}", title="Embeddings") for a in report.curve]
    titles = [c.name for c, _ in view(replace(report, curve=[*report.curve, *also]))["curves"]]
    assert titles == ["embeddings", "lora"]


def test_hostile_text_stays_text(hostile):
    for source in (page(hostile), fragment(hostile)):
        soup = BeautifulSoup(source, "html.parser")
        assert not soup.find_all(["script", "img"]) and len(soup.find_all("style")) == 1
        assert not any(name.startswith("on") for tag in soup.find_all(True) for name in tag.attrs)
        assert "\x1b" not in source and "\u202e" not in source
        assert "{{ 7*7 }}" in soup.get_text() and "alert(1)" in soup.get_text()


def test_a_fragment_is_for_a_notebook(report):
    source = report._repr_html_()
    assert source.strip().startswith("<main") and "<html" not in source


@pytest.mark.parametrize(
    ("shares", "settings", "step"),
    [
        (dict(tfidf=0.5, lora=0.9), Settings(), "Put LoRA to use."),
        (dict(tfidf=0.85, lora=0.87), Settings(), "those in doubt cost about the same"),
        (dict(tfidf=0.5, lora=0.87), Settings(need=0.86), "more rows (about "),
        (dict(tfidf=0.3, lora=0.5), Settings(need=0.9), "Try a larger model"),
    ],
)
def test_what_to_do_on_monday_follows_from_the_verdict(shares, settings, step):
    soup = BeautifulSoup(page(made_up.report(settings=settings, **shares)), "html.parser")
    assert step in soup.find("ol").get_text()


@pytest.mark.parametrize(
    ("shares", "winner", "advised"),
    [
        (dict(embeddings=0.95, lora=0.6), "embeddings", False),
        (dict(embeddings=0.5, lora=0.75), "lora", True),
        (dict(few_shot=0.78, lora=0.76), None, True),  # LoRA is in doubt
        (dict(few_shot=0.9, lora=0.6), None, False),  # below the need, and LoRA lost
    ],
)
def test_more_rows_are_advised_for_an_arm_that_may_be_used(shares, winner, advised):
    settings = Settings() if winner else Settings(need=0.99)
    made = made_up.report(settings=settings, tfidf=0.4, **shares)
    assert made.decision.winner == winner
    curve = [made_up.drawn(f"lora@{k}", s, made.data, seed=9, labels=k) for k, s in ((38, 0.2), (75, 0.4))]
    told = page(replace(made, curve=curve))
    assert ("Label more training rows" in BeautifulSoup(told, "html.parser").find("ol").get_text()) == advised


def test_arms_that_were_left_out_come_before_a_larger_model():
    made = made_up.report(settings=Settings(need=0.9), tfidf=0.3, lora=0.5)
    soup = BeautifulSoup(page(replace(made, left_out=["embeddings", "few_shot"])), "html.parser")
    steps = [step.get_text() for step in soup.find("ol").find_all("li")]
    left, larger = (next(n for n, s in enumerate(steps) if said in s) for said in ("few_shot", "larger"))
    assert left < larger and "without --only and --skip: embeddings, few_shot." in steps[left]


@pytest.mark.parametrize(
    ("labels", "euro_a_call", "said"),
    [
        (0, None, "over the first year both cost the same"),
        (100, None, "LoRA is the cheaper, and would be with 100 times as many calls or as few"),
        (0, 0.001, "over the first year a model behind it is cheaper below 5,"),
    ],
)
def test_what_is_cheaper_is_said_as_far_as_it_matters(labels, euro_a_call, said):
    """Two arms that need a second server at different, far numbers of calls; one that is paid by the call."""
    own = made_up.data()
    lora = made_up.drawn("lora", 0.9, own, cost=Cost(0, seconds_a_call=0.2, memory=10**8))
    other = dict(cost=Cost(labels, 1000.0, seconds_a_call=0.1, memory=10**8, euro_a_call=euro_a_call or 0.0))
    if euro_a_call:
        other |= dict(title="A model behind it", family="endpoint")
    arms = [lora, made_up.drawn("other", 0.6, own, **other)]
    made = replace(made_up.report(own=own), arms=arms, curve=(), decision=decide(own, arms, Settings()))
    assert said in page(made)


def test_a_cost_that_is_not_known_is_said_to_be_unknown():
    own = made_up.data()
    served = made_up.drawn("endpoint", 0.9, own, cost=Cost(8, euro_a_call=None))
    for name, share, said in (
        ("tfidf", 0.5, "endpoint has no price yet (--price-in, --price-out) at 10,000 calls"),
        ("lora", 0.95, "endpoint, has no price yet (--price-in, --price-out); over the first year it can"),
    ):
        arms = [served, made_up.drawn(name, share, own)]
        made = replace(made_up.report(own=own), arms=arms, curve=(), decision=decide(own, arms, Settings()))
        assert said in page(made) and "inf" not in table(made) and "unknown" in table(made)
        assert json.loads(as_json(made))["arms"][0]["euro_a_month"] is None


def test_what_is_counted_in_one_run_alone_says_so(report):
    arms = [replace(a, repeats=[a.outcomes]) for a in report.arms]
    for said in ("shown by the run that is kept", "Macro-F1 is that of the run that is kept"):
        assert said in page(replace(report, arms=arms)) and said not in page(report)


def test_other_kinds_of_task_have_no_confusion(report):
    own = replace(report.data, columns=replace(report.data.columns, kind="answers"), labels=())
    source = page(replace(report, data=own))
    assert "macro-F1" not in source and "Right labels (rows)" not in source


def test_the_terminal_table_has_80_columns_and_no_escapes(report, hostile):
    for made in (
        report,
        hostile,
        replace(report, arms=[replace(a, title="分類器と検索" * 9) for a in report.arms]),
    ):
        text = table(made)
        assert "\x1b" not in text and all(wcswidth(line) <= 80 for line in text.splitlines())
    assert [wcswidth(fitted(t, 6)) for t in ("日本語です", "e\u0301te\u0301", "abcdefgh", "")] == [6] * 4
    lines = table(report).splitlines()
    assert lines[1].startswith("Sentence embeddings and logi") and "93%" in lines[1]


def test_json_holds_every_prediction_and_can_be_judged_again(report):
    made = json.loads(as_json(report))
    assert made["format"] == "tunewise-compare/1" and made["decision"]["kind"] == report.decision.kind
    lora = next(a for a in made["arms"] if a["name"] == "lora")
    targets = [i["target"] for i in made["items"]]
    right = [p == t for p, t in zip(lora["predictions"], targets, strict=True)]
    assert right == [bool(v) for v in lora["outcomes"]["accuracy"]]
    assert lora["metrics"]["accuracy"]["value"] == pytest.approx(sum(right) / len(right))
    assert {i["id"] for i in made["items"]}.isdisjoint(i["id"] for i in made["data"]["train"])
    assert made["learning_curves"][0]["points"][0][0] == 30


def test_json_knows_no_infinity(report):
    arms = [replace(a, confidences=[float("nan")] * 240) for a in report.arms]
    assert as_dict(replace(report, arms=arms))["arms"][0]["confidences"] == [None] * 240


def test_on_a_telephone_the_difference_of_every_arm_is_read_without_scrolling_sideways(report, browser):
    view = browser.new_page(viewport={"width": 390, "height": 844})
    view.set_content(page(report))
    for cell in view.locator("table.arms td[data-label=difference]").all():
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert '"difference"' in cell.evaluate("e => getComputedStyle(e, '::before').content")
    wide = "d => d.scrollWidth > d.clientWidth"
    assert not any(view.locator(".wide").evaluate_all(f"all => all.map({wide})"))
    assert not view.evaluate("document.documentElement.scrollWidth > 390")
    view.close()
