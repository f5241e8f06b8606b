"""The decision helper over all 336,000 combinations of answers, "don't know" included.

What decides is judged for every combination (a few seconds). The whole recommendation with its changes costs some thirty judgements
each, so it is built for a fixed sample and compared with the judgements of all.
"""

import html
import itertools
import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import decide_outcomes
import pytest
import yaml
from conftest import ROOT
from sphinx_site import live_html

from tunewise import cli
from tunewise import report as rp
from whentofinetune import book_records, verdicts
from whentofinetune.calculators import decide as d
from whentofinetune.calculators.decide_rules import NEEDS, OUTCOMES, QUESTIONS, RULES, STAGES, UNKNOWN, Rule
from whentofinetune.calculators.found import evidence, found, side
from whentofinetune.commands import decide_command as command
from whentofinetune.pages import Live, decide_page
from whentofinetune.pages.verdict import sources

LIB = Path(d.__file__).parents[2]
NAMES = tuple(d.FORM)
TUNES = ("fine-tune", "hosted", "both")


@pytest.fixture(scope="module")
def judged():
    """All combinations of answers -> the three rules that decide."""
    every = itertools.product(*[(*q.options, UNKNOWN) for q in QUESTIONS])
    return {answers: d.deciding(dict(zip(NAMES, answers, strict=True))) for answers in every}


@pytest.fixture(scope="module")
def outcomes(judged):
    return {answers: decided[-1].then for answers, decided in judged.items()}


@pytest.fixture(scope="module")
def sample(judged):
    """Answers and their recommendation, for some combinations."""
    drawn = [dict(zip(NAMES, c, strict=True)) for c in random.Random(0).sample(list(judged), 500)]
    return [(answers, d.decide(answers)) for answers in drawn]


def other(answers, question, answer):
    at = NAMES.index(question)
    return (*answers[:at], answer, *answers[at + 1 :])


def get(answers, question):
    return answers[NAMES.index(question)]


# -- the form and the rules ------------------------------------------------------------------------------------------


def test_the_form_has_eight_questions_of_two_to_six_answers():
    assert len(QUESTIONS) == 8
    for q in QUESTIONS:
        assert 2 <= len(q.options) <= 6 and UNKNOWN not in q.options
        assert len(set(q.options.values())) == len(q.options)
        # YAML would read these as something else than words
        assert all(yaml.safe_load(f"{q.name}: {a}") == {q.name: a} for a in (*q.options, UNKNOWN))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_a_rule_asks_for_what_there_is_and_names_its_sources(rule):
    earlier = STAGES[: STAGES.index(rule.stage)] if rule.stage in STAGES else STAGES
    results = {stage: {r.then for r in RULES if r.stage == stage} for stage in earlier}
    for what, allowed in rule.when.items():
        options = results[what] if what in results else {*d.FORM[what].options, UNKNOWN}
        assert set(allowed) <= options, what
    assert rule.then in {"recommendation": OUTCOMES, "note": d.STEPS, "conflict": [""]}.get(
        rule.stage, [rule.then]
    )
    assert set(rule.tests) <= set(verdicts.claims()) and not set(rule.claims) & set(rule.against)
    named = {e["source"] for claim in verdicts.claims().values() for e in claim["evidence"]}
    assert set(rule.literature) <= named & set(sources())
    assert rule.why.endswith("." if rule.stage != "conflict" else (".", "?"))


def test_rules_have_names_of_their_own_and_stand_in_the_order_of_the_stages():
    assert len({r.name for r in RULES}) == len(RULES)
    assert [stage for stage, _ in itertools.groupby(r.stage for r in RULES)] == [*STAGES, "note", "conflict"]
    assert {r.then for r in RULES if r.stage == "recommendation"} == set(OUTCOMES)
    assert {stage: {r.then for r in RULES if r.stage == stage} for stage in NEEDS} == {
        stage: {*words} - {"title"} for stage, words in NEEDS.items()
    }
    listed = decide_page.rules().html
    assert listed.count("<li>") == len(RULES) and all(
        f"<b>{html.escape(r.name)}</b>" in listed for r in RULES
    )


# -- the evidence ----------------------------------------------------------------------------------------------------


def test_found_is_what_the_verdicts_say_and_is_typed_nowhere():
    assert set(found()) == set(verdicts.claims())
    for claim, (word, size) in found().items():
        top = verdicts.headline(claim)
        assert (word, size) == (top.word, verdicts.LADDER[top.model] if top.findings else "")
    # no file of the library sets a verdict beside the name of a claim
    typed = re.compile(
        rf"""["']C\d+["']\s*:\s*\(?["']({"|".join([*verdicts.MARKS, "yes", "no", "partly"])})["']"""
    )
    assert typed.search('"C1": "agrees"') and typed.search("'C1': ('cannot tell', '135M')")
    assert not [p for p in LIB.rglob("*.py") if typed.search(p.read_text(encoding="utf-8"))]


def test_evidence_by_hand():
    rule = Rule("r", "note", "", claims=("C1", "C2"), against=("C3",), literature=("a2020", "b2021"))
    said = {"C1": ("agrees", "1.5B"), "C2": ("measured", ""), "C3": ("does not agree", "135M")}
    assert evidence([rule], said) == (
        "Our own results support part of this: C1 (agrees, 1.5B), the opposite claim C3 (does not agree, 135M). "
        "So does published work: a2020, b2021. We have figures on part of this, but no verdict: C2 (measured)."
    )
    said |= {"C2": ("cannot tell", "0.5B"), "C3": ("agrees", "135M")}
    assert evidence([rule], said) == (
        "What we measured speaks against part of this: the opposite claim C3 (agrees, 135M). "
        "Published work supports it: a2020, b2021. Our own tests do not settle part of this: C2 (cannot tell, 0.5B). "
        "Our own results support part of this: C1 (agrees, 1.5B)."
    )
    read, plain = Rule("s", "note", "", literature=("c2022",)), Rule("t", "note", "")
    assert evidence([read], said) == "No test of ours concerns this; it follows published work: c2022."
    assert evidence([replace(rule, claims=(), against=("C3",))], said) == (
        "What we measured speaks against this: the opposite claim C3 (agrees, 135M). Published work supports it: a2020, b2021."
    )
    assert evidence([plain], said) == "This follows from the answers."
    assert evidence([rule, read, plain], said).endswith(
        "No test of ours concerns the rest; it follows published work: c2022."
    )


def test_a_comparison_of_ours_that_speaks_against_a_rule_is_told_with_the_records_figures():
    """The desk task of the chapter on accuracy, computed here from the record by its own route."""
    record = book_records.load("unwritten_rule")
    tuned, *others = (record.where(method=m, n_labels=300) for m in ("lora", "embeddings", "tfidf"))
    least = min((rp.gap(tuned, rows, "new") for rows in others), key=lambda m: m["value"])
    concerned = [r for r in RULES if "C1" in r.tests]
    assert len(concerned) == 4
    for rule in concerned:
        text = evidence([rule])
        against = text.partition("What we measured speaks against part of this: ")[2].split(". ")[0]
        ours = "on our desk task LoRA was ahead of both classifiers on new wordings"
        assert f"{ours}, {rp.points(least)}" in against
        assert '<a href="accuracy.html">' in decide_page._linked(text)


def speaks(rules, text, said):
    """Whether ``text`` owns up to each claim of ``rules`` that is open or speaks against them."""

    def part(head, rest):
        """The first sentence after ``head`` and the one behind it, without "part of"."""
        return [*rest.replace("part of ", "").partition(head)[2].split(". ", 2), "", ""][:2]

    contrary, against = part("What we measured speaks against this: ", text)
    open_ = part("Our own tests do not settle this: ", text)[0]
    for rule in rules:
        for claim in rule.tests:
            at, (word, size) = side(claim, rule, said), said[claim]
            shown = {-1: contrary, 0: open_}.get(at, text)
            assert re.search(
                rf"\b{claim}\b[^,]* \({re.escape(word)}{f', {size}' if size else ''}\)", shown
            ), (rule.name, claim)
            if at == -1:
                assert rule.literature and all(key in against for key in rule.literature), rule.name
            assert all(key in text for key in rule.literature)


def test_each_rule_says_where_our_results_are_open_or_against_it():
    for rule in RULES:
        speaks([rule], evidence([rule]), found())


@pytest.mark.parametrize(
    "word", ["does not agree", "too small to matter", "cannot tell", "not yet measured", "agrees"]
)
def test_each_rule_says_so_whatever_the_records_will_say(word):
    said = dict.fromkeys(verdicts.claims(), (word, "1.5B"))
    for rule in RULES:
        if rule.literature:
            speaks([rule], evidence([rule], said), said)


def test_each_recommendation_says_so_by_itself(sample):
    for _, made in sample:
        decided = [r for r in made.reasons if r.stage in STAGES]
        speaks(decided, made.evidence, found())
        assert made.evidence in d.in_words(made)


# -- all combinations ------------------------------------------------------------------------------------------------


def test_each_combination_gets_a_recommendation_and_no_rule_is_dead(judged, outcomes):
    assert len(outcomes) == 336_000 and set(outcomes.values()) == set(OUTCOMES)
    assert {rule.name for rules in judged.values() for rule in rules} == {
        r.name for r in RULES if r.stage in STAGES
    }
    silent = [r for r in RULES if r.stage in ("note", "conflict")]
    for answers, rules in judged.items():
        if not silent:
            break
        full = dict(zip(NAMES, answers, strict=True)) | {r.stage: r.then for r in rules}
        silent = [r for r in silent if not r.fits(full)]
    assert not silent


def test_each_answer_to_each_question_matters_somewhere(outcomes):
    # some answers differ in what to take care of, not in the recommendation
    same = {
        ("hallucination", "harmless", "costly"),
        ("sources", "needless", "helpful"),
        ("skills", "tuning", "both"),
    }
    for q in QUESTIONS:
        for one, two in itertools.combinations(q.options, 2):
            alike = all(
                outcomes[a] == outcomes[other(a, q.name, two)] for a in outcomes if get(a, q.name) == one
            )
            assert not alike or (q.name, one, two) in same


def test_what_holds_for_every_combination(outcomes):
    labels = list(d.FORM["labels"].options)
    for a, outcome in outcomes.items():
        known = dict(zip(NAMES, a, strict=True))
        fell_short = known["behaviour"] == "limit" and known["labels"] in labels[1:]
        taught_facts = [known[q] for q in ("knowledge", "change", "labels")] == [
            "weights",
            "hardly",
            "thousands",
        ]
        if outcome in TUNES:  # only after cheaper methods were measured; more labels never speak against it
            assert fell_short or taught_facts, a
            for more in labels[labels.index(known["labels"]) + 1 :]:
                assert outcomes[other(a, "labels", more)] in TUNES, a
        if taught_facts and outcome == "fine-tune":
            assert known["sources"] != "must" and known["hallucination"] != "unacceptable", a
        if outcome in ("distil", "better"):
            assert known["behaviour"] in ("untried", "short", "expensive", "limit"), a
        if outcome == "distil":  # there is a teacher, and the task is narrow
            assert known["behaviour"] == "expensive" and known["tasks"] not in ("many", UNKNOWN), a
        if outcome == "classify":
            assert known["tasks"] == "label" and known["labels"] in ("hundreds", "thousands"), a
            # whatever is said or not known of the style, save that a prompt with examples does it already
            for style in ("plain", "untried", "short", "expensive", "limit", UNKNOWN):
                assert outcomes[other(a, "behaviour", style)] == "classify", a
        if known["knowledge"] in ("documents", "none", "short"):
            assert (outcome in ("rag", "both")) == (known["knowledge"] == "documents"), a
        if known["knowledge"] == UNKNOWN and outcome in ("rag", "both"):
            assert known["sources"] == "must", a
        for q in QUESTIONS:  # not knowing leads nowhere that an answer could not, save to measuring
            if known[q.name] == UNKNOWN and outcome != "measure":
                assert outcome in {outcomes[other(a, q.name, answer)] for answer in q.options}, (a, q.name)


def test_a_small_classifier_is_told_nothing_about_constrained_decoding(sample):
    said = {made.outcome: {r.name for r in made.reasons} for _, made in sample}
    assert "constrain the form" not in said["classify"]
    assert "constrain the form" in said["icl"] | said["better"]


def test_knowing_nothing_means_measuring_first():
    made = d.decide({})
    assert made.outcome == "measure" and len(made.open) == 8 and not made.questions
    assert d.decide(dict.fromkeys(NAMES, UNKNOWN)) == made


def test_conflicts_are_asked_back_exactly_where_they_are(judged):
    # written anew here, from what the answers mean
    declared = {
        "stale by design": lambda k: k["knowledge"] == "weights" and k["change"] == "weekly",
        "untrained weights": lambda k: k["knowledge"] == "weights" and k["labels"] == "none",
        "how was it measured?": lambda k: (
            k["behaviour"] in ("short", "expensive", "limit") and k["labels"] == "none"
        ),
        "nothing to check against": lambda k: (
            k["hallucination"] == "unacceptable" and k["knowledge"] in ("none", "weights")
        ),
        "nothing to cite": lambda k: k["sources"] == "must" and k["knowledge"] in ("none", "weights"),
        "what changes?": lambda k: (
            k["behaviour"] in ("expensive", "limit") and k["change"] == "weekly" and k["knowledge"] == "none"
        ),
    }
    conflicts = [r for r in RULES if r.stage == "conflict"]
    assert {r.name for r in conflicts} == set(declared)
    for answers in judged:
        known = dict(zip(NAMES, answers, strict=True))
        for rule in conflicts:
            assert rule.fits(known) == declared[rule.name](known), (rule.name, known)


def test_the_whole_recommendation_agrees_with_what_was_judged(sample, judged, outcomes):
    order = list(d.STEPS.values())
    for answers, made in sample:
        combination = tuple(answers.values())
        full = answers | {r.stage: r.then for r in judged[combination]}
        assert made.outcome == outcomes[combination] and made.reasons[0].stage == "recommendation"
        deciding = sorted(judged[combination], key=lambda r: order.index(d.step(r)))
        assert [r for r in made.reasons if r.stage != "note"] == deciding
        notes = [r for r in RULES if r.stage == "note" and r.fits(full)]
        assert Counter(r.name for r in made.reasons if r.stage == "note") == Counter(r.name for r in notes)
        assert list(made.questions) == [r for r in RULES if r.stage == "conflict" and r.fits(full)]
        changes = {
            (q.name, a): o
            for q in QUESTIONS
            for a in q.options
            if (o := outcomes[other(combination, q.name, a)]) != made.outcome
        }
        assert changes and {(c.question, a): c.outcome for c in made.changes for a in c.answers} == changes


def test_the_order_of_answers_does_not_matter(sample):
    shuffle = random.Random(1).shuffle
    for answers, made in sample[:200]:
        items = list(answers.items())
        shuffle(items)
        assert d.decide(dict(items)) == made and d.record(dict(items)) == d.record(answers)


# -- stories: what somebody who knows the field would say --------------------------------------------------------------

# the answers in the order of the questions; what is recommended; what is asked back; some of the reasons
STORIES = {
    # weekly facts and sources leave nothing but looking up; a tone nobody tried to prompt is no reason to train
    "a help desk over ten thousand pages that change weekly, with sources": (
        "documents untried costly tens weekly must search one",
        "rag",
        "",
        "look facts up; who edits the index; check citations",
    ),
    # 300 tickets and a decision: a classifier of seconds before any training of a language model (C1)
    "labelling complaints by a house rule that prompts do not reach, 400 labels": (
        "none limit costly hundreds hardly needless neither label",
        "classify",
        "",
        "labels are enough for a classifier; classify it",
    ),
    # what is bought comes before what is built
    "replies in a strict form, the small model falls short, nobody tried a better one": (
        "none short costly hundreds hardly needless tuning one",
        "better",
        "",
        "a better model first; several templates",
    ),
    # the classic case for distilling (C19): narrow, solved, expensive
    "a narrow extraction that the best model solves, a million times a month": (
        "none expensive costly tens hardly needless tuning one",
        "distil",
        "",
        "distil it; a student's test; mostly for testing",
    ),
    "an assistant for everything that the best model solves, too expensive": (
        "none expensive costly tens hardly needless tuning many",
        "better",
        "",
        "too many tasks for one student",
    ),
    # a team without GPUs; but who still tunes for others?
    "replies whose form no prompt reaches, a thousand examples, a team that tuned nothing": (
        "none limit costly thousands hardly needless neither one",
        "hosted",
        "",
        "tune the style; let a service train it; who still tunes; first tuning",
    ),
    # examples take an hour (C26)
    "product descriptions in the brand's voice, nothing tried, thirty good ones": (
        "none untried harmless tens hardly needless neither one",
        "icl",
        "",
        "examples first; few examples",
    ),
    # the article says tune (C17); the study of just this found examples in the prompt good enough. Ask what answers are checked against
    "one-line summaries of patient notes": (
        "none untried unacceptable tens hardly helpful neither one",
        "icl",
        "nothing to check against",
        "prompts leak",
    ),
    # RAG, but it does not remove inventions (C36), and a test set comes first
    "legal research: no invention, a source for each sentence, no labelled question": (
        "documents plain unacceptable none weekly must neither related",
        "rag",
        "",
        "a test set; let it abstain; check citations; first search system",
    ),
    # offline does not forbid an index; what forbids the lookup must be asked
    "an offline kiosk that is to know this week's programme by heart": (
        "weights plain costly none weekly needless tuning one",
        "rag",
        "stale by design; untrained weights",
        "weights go stale",
    ),
    # the one case where the hybrid is advised, and it must prove itself against RAG alone (C42)
    "support in the company's voice over a manual, thousands of replies, an experienced team": (
        "documents limit costly thousands monthly helpful both related",
        "both",
        "",
        "both, one after the other; tune on passages; no new facts",
    ),
    # one new system at a time (C40)
    "the same with a team that has built neither": (
        "documents limit costly thousands monthly helpful neither related",
        "rag",
        "",
        "one system at a time",
    ),
    # no index for one page
    "questions about a price list of one page": (
        "short plain costly tens weekly needless neither one",
        "prompt",
        "",
        "facts in the prompt",
    ),
    # "usually not" is not "never" (C34)
    "an encyclopaedia that stands still, thousands of phrasings, in the model itself": (
        "weights plain harmless thousands hardly needless tuning one",
        "fine-tune",
        "",
        "facts into weights; weights hold both",
    ),
    # 25 labels a task: show the nearest, collect more
    "an assistant for a dozen tasks, prompts fall short, 300 labels in all": (
        "none limit costly hundreds hardly needless tuning many",
        "icl",
        "",
        "labels spread thin; look examples up, too",
    ),
    # tuned rules would be a week late
    "moderation by rules that change every week, prompts fall short": (
        "none limit costly thousands weekly needless both one",
        "icl",
        "what changes?",
        "moving target",
    ),
    # enough for an adapter each (C41)
    "the same with thousands of labels": (
        "none limit costly thousands hardly needless tuning many",
        "fine-tune",
        "",
        "tune the style; an adapter a task; what it forgets",
    ),
    # a quarter is soon over (C38)
    "product data in the model itself, new every quarter": (
        "weights plain harmless thousands monthly needless tuning one",
        "rag",
        "",
        "weights go stale; who edits the index",
    ),
    # no number, no tuning (C43)
    "it is said not to work, but nobody counted": (
        "none short costly none hardly needless tuning one",
        "measure",
        "how was it measured?",
        "nothing to show it with; a test set",
    ),
    # tuning mends one of the two only
    "answers are wrong, nobody knows whether for lack of facts or of style": (
        "unknown limit unknown hundreds hardly unknown tuning one",
        "measure",
        "",
        "facts or style?; are facts missing?",
    ),
    # the model's style is no reason to leave labels unused
    "a ticket router in the model's usual style, a thousand labels": (
        "none plain costly thousands hardly needless neither label",
        "classify",
        "",
        "labels are enough for a classifier",
    ),
    "the same, nobody knows whether the style is the trouble, some hundreds": (
        "none unknown costly hundreds hardly needless neither label",
        "classify",
        "",
        "labels are enough for a classifier",
    ),
    "the same with fifty labels": (
        "none plain costly tens hardly needless neither label",
        "prompt",
        "",
        "the usual style; the cheaper rival",
    ),
    # who has measured the classifier is not sent back to it
    "the same rule of the house, four hundred labels, a classifier was measured and falls short": (
        "none limit costly hundreds hardly needless tuning label-tried",
        "fine-tune",
        "",
        "more than a classifier learns; the classifier that you have",
    ),
    "a ticket router whose classifier falls short, no prompt measured yet": (
        "none plain costly thousands hardly needless neither label-tried",
        "icl",
        "",
        "a prompt after the classifier; the classifier that you have",
    ),
    # what works stays; only a bill could change that
    "a labelling prompt with examples that works": (
        "none enough costly hundreds hardly needless tuning one",
        "icl",
        "",
        "examples do it",
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_stories(story):
    answers, outcome, asked, because = STORIES[story]
    made = d.decide(dict(zip(NAMES, answers.split(), strict=True)))
    assert made.outcome == outcome
    assert "; ".join(r.name for r in made.questions) == asked
    assert set(because.split("; ")) <= {r.name for r in made.reasons}


# -- fronts ------------------------------------------------------------------------------------------------------------


def test_every_front_says_what_the_function_says(sample):
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    for answers, made in sample[:100]:
        front = json.loads(d.decide_json(json.dumps(answers)))
        assert front["text"] == d.in_words(made) and front["text"].startswith(made.details.title)
        reasons, changes = front["tables"]
        assert [row[1] for row in reasons["rows"]] == [rule.why for rule in made.reasons]
        assert len(changes["rows"]) == len(made.changes)
        assert all(words in front["text"] for words in made.needs.values())
        told = json.loads(json.dumps(made.to_dict()))
        assert told["outcome"] == made.outcome
        assert told["answers"] == answers
        assert told["evidence"] == made.evidence
        assert [(r["rule"], tuple(r["claims"])) for r in told["reasons"]] == [
            (r.name, r.tests) for r in made.reasons
        ]
        page = d.record(answers, "2026-03-01")
        assert page.startswith(f"# Decision record: {made.details.title}\n\nDate: 2026-03-01\n")
        rows = sum(token.type == "tr_open" for token in parser.parse(page))
        assert rows == 3 + len(QUESTIONS) + len(made.reasons) + len(made.changes)
        assert all(rule.why in page for rule in (*made.questions, *made.reasons)) and made.evidence in page
    assert "Date" not in d.record({})


def said(answers, made) -> dict:
    """A recommendation as places in ``RULES``, as the page's script gives it."""
    place = {rule.name: i for i, rule in enumerate(RULES)}
    return {
        "outcome": made.outcome,
        "rests": made.evidence,
        "needs": [list(need) for need in made.needs.items()],
        "asks": [place[r.name] for r in made.questions],
        "reasons": [place[r.name] for r in made.reasons],
        "changes": [
            [
                NAMES.index(c.question),
                c.outcome,
                *(decide_outcomes.ANSWERS[c.question].index(a) for a in c.answers),
            ]
            for c in made.changes
        ],
    }


@pytest.fixture(scope="module")
def table():
    return decide_outcomes.outcomes()


def test_the_pages_table_holds_what_the_rules_say_of_every_combination(table, judged, sample):
    def value(node, answers):
        while node >= 0:
            question, *leads = table["nodes"][node]
            node = leads[decide_outcomes.ANSWERS[NAMES[question]].index(answers[NAMES[question]])]
        return ~node

    for combination, rules in judged.items():
        leaf = table["leaves"][value(table["decides"], dict(zip(NAMES, combination, strict=True)))]
        assert [RULES[i].name for i in leaf[:3]] == [r.name for r in rules], combination
    for answers, made in sample:
        holds = {RULES[i].name for i, root in table["others"] if value(root, answers)}
        assert holds == {r.name for r in (*made.reasons, *made.questions) if r.stage not in STAGES}
    assert len(json.dumps(table)) < 100_000


def test_the_page_answers_at_once_and_as_python_does(browser, sample, tmp_path):
    """In a browser, without a server: the look-up in ``decide.js`` finds for five hundred combinations what Python decides."""
    live = Live("decide", d.CONTROLS, "whentofinetune.calculators.decide:decide_json")
    script = (ROOT / "assets" / "decide.js").read_text(encoding="utf-8")
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html>{live_html(live.spec())}<script>{script}</script>", encoding="utf-8")
    page = browser.new_page()
    try:
        page.goto(file.as_uri())
        asked = [[decide_outcomes.ANSWERS[q].index(a) for q, a in answers.items()] for answers, _ in sample]
        found = page.evaluate("(all) => all.map((answers) => tunewise.find(answers))", asked)
        assert found == [said(answers, made) for answers, made in sample]
        block = page.locator("#live-decide")
        shown = page.evaluate(
            "(root) => tunewise.lookups['whentofinetune.calculators.decide:decide_json'](root)",
            block.element_handle(),
        )
        assert shown == "Recommendation: None yet, measure first."
        assert block.locator(".tw-text a").count() and block.locator(".tw-reasons li").count() == len(
            d.decide({}).reasons
        )
    finally:
        page.close()


def test_the_live_block_starts_with_nothing_known():
    live = Live(
        "decide", d.CONTROLS, "whentofinetune.calculators.decide:decide_json", title="RAG, tuning, or what?"
    )
    assert live.compute()["text"].startswith(OUTCOMES["measure"].title)
    assert live.compute(knowledge="documents")["text"].startswith("RAG")
    json.dumps(live.spec())


def test_errors_say_what_is_wrong_and_what_is_allowed():
    with pytest.raises(ValueError) as caught:
        d.decide({"colour": "red", "labels": "lots", "change": True})
    says = str(caught.value)
    assert "no question 'colour'; there are knowledge, behaviour" in says
    assert "labels can't be 'lots'; it is one of none, tens, hundreds, thousands, unknown" in says
    assert "change can't be True" in says
    with pytest.raises(ValueError, match="pairs"):
        d.decide(["knowledge"])


def test_the_form_is_a_file_of_answers():
    text = d.form()
    assert yaml.safe_load(text) == dict.fromkeys(NAMES, UNKNOWN)
    assert all(words in text for q in QUESTIONS for words in (q.asks, *q.options.values()))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{\n\t"labels": "tens"}', {"labels": "tens"}),
        ("labels: tens  # so far\n\nchange: 'weekly'\n", {"labels": "tens", "change": "weekly"}),
        ("", {}),
    ],
)
def test_answers_are_read_from_json_and_yaml(text, answers):
    assert command.parse(text) == answers


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no file"),
        ('{"labels": ', "not valid JSON"),
        ("a: [", "not valid YAML"),
        ("labels tens", "no lines of `question: answer`: `tunewise decide --questions"),
        ("[1, 2]", "no lines of `question: answer`"),
        ("[1]: tens", "not valid YAML (found unhashable key, line 1); `tunewise decide --questions"),
        ('{"labels": ' + "[" * 100_000, "lists inside lists"),
        ("[" * 3000, "lists inside lists"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        ("labels: tens\nlabels: none", "answered a second time: labels"),
        ("labels: 30", "labels can't be 30"),
    ],
)
def test_the_command_refuses_what_it_cannot_read(content, says, tmp_path, capsys):
    file = tmp_path / "answers.yml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["decide", "--answers", str(file), "--record", str(tmp_path / "r.md")]) == 2
    shown = capsys.readouterr()
    assert says in shown.err and not shown.out and not (tmp_path / "r.md").exists()


def test_a_folder_of_answers_is_refused_with_the_remedy(tmp_path, capsys):
    assert cli.main(["decide", "--answers", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} can't be read (Is a directory)" in said and "tunewise decide --questions" in said


def test_the_command_from_the_form_to_the_record(tmp_path, capsys):
    def told(*words):
        assert cli.main(["decide", *words]) == 0
        return capsys.readouterr().out

    assert cli.main(["decide"]) == 2 and "--questions >" in capsys.readouterr().err
    answers, page = tmp_path / "answers.yml", tmp_path / "record.md"
    answers.write_text(
        told("--questions").replace("knowledge: unknown", "knowledge: documents"), encoding="utf-8"
    )
    said = told("--answers", str(answers), "--record", str(page))
    assert said.startswith("RAG. ") and "What would change the recommendation" in said
    assert page.read_text(encoding="utf-8").startswith("# Decision record: RAG\n\nDate: 20")
    assert json.loads(told("--answers", str(answers), "--json"))["outcome"] == "rag"
