"""The decision helper over all 160,000 combinations of answers, "don't know" included.

What decides is judged for every combination (a few seconds). The whole advice with its changes costs some thirty judgements
each, so it is built for a fixed sample and compared with the judgements of all.
"""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tunewise import cli
from whentofinetune import book_records, experiments
from whentofinetune.calculators import decide as d
from whentofinetune.calculators.decide_rules import EXPERIMENTS, FOUND, OUTCOMES, QUESTIONS, RULES, UNKNOWN
from whentofinetune.commands import decide_command as command
from whentofinetune.pages import Live, scoreboard
from whentofinetune.pages.verdict import claims, sources

ROOT = Path(__file__).parents[1]
NAMES = tuple(d.FORM)
DECIDING = [r for r in RULES if r.stage in ("facts", "manner", "advice")]
TUNES = ("fine-tune", "both")


@pytest.fixture(scope="module")
def judged():
    """All combinations of answers -> the three rules that decide."""
    every = itertools.product(*[(*q.options, UNKNOWN) for q in QUESTIONS])
    return {answers: d.judge(dict(zip(NAMES, answers, strict=True))) for answers in every}


@pytest.fixture(scope="module")
def outcomes(judged):
    return {answers: decided[-1].then for answers, decided in judged.items()}


@pytest.fixture(scope="module")
def sample(judged):
    """Answers and their advice, for some combinations."""
    drawn = [dict(zip(NAMES, c, strict=True)) for c in random.Random(0).sample(list(judged), 1000)]
    return [(answers, d.decide(answers)) for answers in drawn]


def other(answers, question, answer):
    at = NAMES.index(question)
    return (*answers[:at], answer, *answers[at + 1 :])


def get(answers, question):
    return answers[NAMES.index(question)]


# -- the form and the table of rules ---------------------------------------------------------------------------------


def test_the_form_has_eight_questions_of_two_to_four_answers():
    assert len(QUESTIONS) == len(set(NAMES)) == 8
    for q in QUESTIONS:
        assert 2 <= len(q.options) <= 4 and UNKNOWN not in q.options
        assert len(set(q.options.values())) == len(q.options)
        # YAML would read these as something else than words
        assert all(yaml.safe_load(f"{q.name}: {a}") == {q.name: a} for a in (*q.options, UNKNOWN))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_a_rule_asks_for_what_there_is_and_names_its_sources(rule):
    earlier = {"facts": [], "manner": ["facts"], "advice": ["facts", "manner"]}.get(
        rule.stage, ["facts", "manner", "advice"]
    )
    results = {stage: {r.then for r in RULES if r.stage == stage} for stage in earlier}
    for what, allowed in rule.when.items():
        assert set(allowed.split()) <= (
            results[what] if what in results else {*d.FORM[what].options, UNKNOWN}
        ), what
    assert rule.then in {"advice": OUTCOMES, "note": d.STEPS, "conflict": [""]}.get(rule.stage, [rule.then])
    assert rule.claims and set(rule.claims.split()) <= set(claims())
    evidence = {e["source"] for c in rule.claims.split() for e in claims()[c]["evidence"]}
    assert set(rule.literature.split()) <= evidence & set(sources()), (
        "data/claims.yml does not name it for these claims"
    )
    assert rule.why.endswith("." if rule.stage != "conflict" else (".", "?"))


def test_rules_have_names_of_their_own_and_stand_in_the_order_of_the_stages():
    assert len({r.name for r in RULES}) == len(RULES)
    stages = [stage for stage, _ in itertools.groupby(r.stage for r in RULES)]
    assert stages == ["facts", "manner", "advice", "note", "conflict"]
    assert {r.then for r in RULES if r.stage == "advice"} == set(OUTCOMES)
    table = d.rules_table()
    assert len(table["rows"]) == len(RULES) and all(len(row) == len(table["header"]) for row in table["rows"])


def test_rules_rest_on_literature_alone_where_no_record_exists():
    recorded = {name for name in EXPERIMENTS if book_records.committed(name, "full").exists()}
    found = {name for name, tested in EXPERIMENTS.items() if set(tested.split()) & set(FOUND)}
    assert found == recorded, (
        "FOUND in decide_rules.py must say what the records say: add the verdict of each new record"
    )
    for name in set(EXPERIMENTS) & set(experiments.NAMES):
        assert set(EXPERIMENTS[name].split()) <= set(experiments.get(name).claims), name
    used = {name for rule in RULES for name in d.experiments(rule)}
    assert used == set(EXPERIMENTS)


def test_what_the_records_say_is_what_the_verdict_boxes_say():
    tested = {claim for names in EXPERIMENTS.values() for claim in names.split()}
    boxes = {claim: said[1] for claim in tested if (said := scoreboard.found(claim))}
    assert boxes == FOUND


def test_backing_tells_what_was_measured_from_what_was_read():
    by = {r.name: d.backing(r) for r in RULES}
    assert (
        by["examples first"]
        == "C26 (few_shot: agrees in part); literature: agarwal2024manyshot, mosbach2023, liu2022"
    )
    assert by["data first"] == "C44; literature only: zhou2023, meta2024"
    for rule in RULES:
        measured = bool(set(rule.claims.split()) & set(FOUND))
        assert ("literature only" in d.backing(rule)) == (bool(rule.literature) and not measured)


# -- all combinations ------------------------------------------------------------------------------------------------


def test_each_combination_gets_an_advice(outcomes):
    assert len(outcomes) == 160_000
    assert set(outcomes.values()) == set(OUTCOMES)


def test_no_rule_is_dead(judged):
    decided = {rule.name for rules in judged.values() for rule in rules}
    assert decided == {r.name for r in DECIDING}
    silent = [r for r in RULES if r.stage in ("note", "conflict")]
    for answers, rules in judged.items():
        if not silent:
            break
        full = dict(zip(NAMES, answers, strict=True)) | {r.stage: r.then for r in rules}
        silent = [r for r in silent if not r.fits(full)]
    assert not silent


def test_each_answer_to_each_question_matters_somewhere(outcomes):
    for q in QUESTIONS:
        for one, two in itertools.combinations(q.options, 2):
            alike = all(
                outcomes[a] == outcomes[other(a, q.name, two)] for a in outcomes if get(a, q.name) == one
            )
            # some answers differ in what to take care of, not in the advice
            if alike:
                assert (q.name, one, two) in {
                    ("hallucination", "harmless", "costly"),
                    ("sources", "needless", "helpful"),
                    ("skills", "tuning", "both"),
                }


def test_tuning_is_advised_only_after_cheaper_ways_were_measured(outcomes):
    for a, outcome in outcomes.items():
        fell_short = get(a, "behaviour") == "short" and get(a, "labels") in ("tens", "hundreds", "thousands")
        taught_facts = [get(a, q) for q in ("knowledge", "change", "labels")] == [
            "weights",
            "hardly",
            "thousands",
        ]
        if outcome in TUNES:
            assert fell_short or taught_facts, a
        if taught_facts and outcome == "fine-tune":
            assert get(a, "sources") != "must" and get(a, "hallucination") != "unacceptable", a


def test_passages_are_looked_up_where_facts_from_outside_are_needed(outcomes):
    for a, outcome in outcomes.items():
        knowledge = get(a, "knowledge")
        if knowledge == "documents":
            assert outcome in ("rag", "both")
        if knowledge in ("none", "short"):
            assert outcome not in ("rag", "both")
        if knowledge == UNKNOWN and outcome in ("rag", "both"):
            assert get(a, "sources") == "must"


def test_more_labels_never_speak_against_tuning(outcomes):
    order = list(d.FORM["labels"].options)
    for fewer, more in itertools.pairwise(order):
        for a, outcome in outcomes.items():
            if get(a, "labels") == fewer and outcome in TUNES:
                assert outcomes[other(a, "labels", more)] in TUNES, a


def test_not_knowing_leads_nowhere_that_an_answer_could_not_save_to_measuring(outcomes):
    for a, outcome in outcomes.items():
        for q in QUESTIONS:
            if get(a, q.name) == UNKNOWN and outcome != "measure":
                assert outcome in {outcomes[other(a, q.name, answer)] for answer in q.options}, (a, q.name)


def test_knowing_nothing_means_measuring_first():
    advice = d.decide({})
    assert advice.outcome == "measure" and len(advice.open) == 8 and not advice.questions
    assert d.decide(dict.fromkeys(NAMES, UNKNOWN)) == advice


def test_conflicts_are_asked_back_exactly_where_they_are(judged):
    # written anew here, from what the answers mean
    declared = {
        "stale by design": lambda k: k["knowledge"] == "weights" and k["change"] == "weekly",
        "untrained weights": lambda k: k["knowledge"] == "weights" and k["labels"] == "none",
        "how was it measured?": lambda k: k["behaviour"] == "short" and k["labels"] == "none",
        "nothing to check against": lambda k: (
            k["hallucination"] == "unacceptable" and k["knowledge"] in ("none", "weights")
        ),
        "nothing to cite": lambda k: k["sources"] == "must" and k["knowledge"] in ("none", "weights"),
        "what changes?": lambda k: (
            k["behaviour"] == "short" and k["change"] == "weekly" and k["knowledge"] == "none"
        ),
    }
    conflicts = [r for r in RULES if r.stage == "conflict"]
    assert {r.name for r in conflicts} == set(declared)
    for answers in judged:
        known = dict(zip(NAMES, answers, strict=True))
        for rule in conflicts:
            assert rule.fits(known) == declared[rule.name](known), (rule.name, known)


def test_the_whole_advice_agrees_with_what_was_judged(sample, judged, outcomes):
    order = list(d.STEPS.values())
    for answers, advice in sample:
        combination = tuple(answers.values())
        assert advice.outcome == outcomes[combination]
        assert [r for r in advice.reasons if r.stage != "note"] == sorted(
            judged[combination], key=lambda r: order.index(d.step(r))
        )
        assert advice.reasons[0].stage == "advice"
        full = answers | {r.stage: r.then for r in judged[combination]}
        assert {r.name for r in advice.reasons if r.stage == "note"} == {
            r.name for r in RULES if r.stage == "note" and r.fits(full)
        }
        assert list(advice.questions) == [r for r in RULES if r.stage == "conflict" and r.fits(full)]


def test_what_would_change_the_advice_does_and_nothing_else(sample, outcomes):
    for answers, advice in sample:
        combination = tuple(answers.values())
        expected = {
            (q.name, a): o
            for q in QUESTIONS
            for a in q.options
            if (o := outcomes[other(combination, q.name, a)]) != advice.outcome
        }
        assert {(c.question, a): c.outcome for c in advice.changes for a in c.answers} == expected
        assert expected


def test_the_order_of_answers_does_not_matter(sample):
    shuffle = random.Random(1).shuffle
    for answers, advice in sample[:200]:
        items = list(answers.items())
        shuffle(items)
        assert d.decide(dict(items)) == advice
        assert d.record(dict(items)) == d.record(answers)
        assert d.decide_json(json.dumps(dict(items))) == d.decide_json(json.dumps(answers))


# -- stories: what somebody who knows the field would say --------------------------------------------------------------

STORIES = {
    "a help desk over ten thousand pages that change weekly, with sources": (
        dict(
            knowledge="documents",
            behaviour="untried",
            hallucination="costly",
            labels="tens",
            change="weekly",
            sources="must",
            skills="search",
            tasks="one",
        ),
        "rag",
        [],
        ["look facts up", "who edits the index", "check citations"],
    ),  # weekly facts and sources leave nothing but looking up; a tone nobody tried to prompt is no reason to train
    "labelling complaints by a rule of the house that prompts do not reach, 400 labels": (
        dict(
            knowledge="none",
            behaviour="short",
            hallucination="costly",
            labels="hundreds",
            change="hardly",
            sources="needless",
            skills="neither",
            tasks="one",
        ),
        "fine-tune",
        [],
        ["tune the manner", "the cheaper rival", "first tuning"],
    ),  # the classic case for tuning (C14), with a linear classifier beside it (C1)
    "product descriptions in the brand's voice, nothing tried, thirty good ones": (
        dict(
            knowledge="none",
            behaviour="untried",
            hallucination="harmless",
            labels="tens",
            change="hardly",
            sources="needless",
            skills="neither",
            tasks="one",
        ),
        "icl",
        [],
        ["examples first", "few examples"],
    ),  # examples take an hour (C26)
    "one-line summaries of patient notes": (
        dict(
            knowledge="none",
            behaviour="untried",
            hallucination="unacceptable",
            labels="tens",
            change="hardly",
            sources="helpful",
            skills="neither",
            tasks="one",
        ),
        "icl",
        ["nothing to check against"],
        ["prompts leak"],
    ),  # the article says tune (C17); the study of just this found examples in the prompt good enough. Ask what answers are checked against
    "legal research: no invention, a source for each sentence, no labelled question": (
        dict(
            knowledge="documents",
            behaviour="plain",
            hallucination="unacceptable",
            labels="none",
            change="weekly",
            sources="must",
            skills="neither",
            tasks="related",
        ),
        "rag",
        [],
        ["a test set", "let it abstain", "check citations", "first search system"],
    ),  # RAG, but it does not remove inventions (C36), and a test set comes first
    "an offline kiosk that is to know this week's programme by heart": (
        dict(
            knowledge="weights",
            behaviour="plain",
            hallucination="costly",
            labels="none",
            change="weekly",
            sources="needless",
            skills="tuning",
            tasks="one",
        ),
        "rag",
        ["stale by design", "untrained weights"],
        ["weights go stale"],
    ),  # offline does not forbid an index; what forbids the lookup must be asked
    "support in the company's voice over a manual, thousands of replies, an experienced team": (
        dict(
            knowledge="documents",
            behaviour="short",
            hallucination="costly",
            labels="thousands",
            change="monthly",
            sources="helpful",
            skills="both",
            tasks="related",
        ),
        "both",
        [],
        ["both, one after the other", "tune on passages", "no new facts"],
    ),  # the one case where the hybrid is advised, and it must prove itself against RAG alone (C42)
    "the same with a team that has built neither": (
        dict(
            knowledge="documents",
            behaviour="short",
            hallucination="costly",
            labels="thousands",
            change="monthly",
            sources="helpful",
            skills="neither",
            tasks="related",
        ),
        "rag",
        [],
        ["one system at a time"],
    ),  # one new system at a time (C40)
    "questions about a price list of one page": (
        dict(
            knowledge="short",
            behaviour="plain",
            hallucination="costly",
            labels="tens",
            change="weekly",
            sources="needless",
            skills="neither",
            tasks="one",
        ),
        "prompt",
        [],
        ["facts in the prompt"],
    ),  # no index for one page
    "an encyclopaedia that stands still, thousands of phrasings, in the model itself": (
        dict(
            knowledge="weights",
            behaviour="plain",
            hallucination="harmless",
            labels="thousands",
            change="hardly",
            sources="needless",
            skills="tuning",
            tasks="one",
        ),
        "fine-tune",
        [],
        ["facts into weights", "weights hold both"],
    ),  # "usually not" is not "never" (C34)
    "an assistant for a dozen tasks, prompts fall short, 300 labels in all": (
        dict(
            knowledge="none",
            behaviour="short",
            hallucination="costly",
            labels="hundreds",
            change="hardly",
            sources="needless",
            skills="tuning",
            tasks="many",
        ),
        "icl",
        [],
        ["labels spread thin", "look examples up, too"],
    ),  # 25 labels a task: show the nearest, collect more
    "moderation by rules that change every week, prompts fall short": (
        dict(
            knowledge="none",
            behaviour="short",
            hallucination="costly",
            labels="thousands",
            change="weekly",
            sources="needless",
            skills="both",
            tasks="one",
        ),
        "icl",
        ["what changes?"],
        ["moving target"],
    ),  # tuned rules would be a week late
    "the same with thousands of labels": (
        dict(
            knowledge="none",
            behaviour="short",
            hallucination="costly",
            labels="thousands",
            change="hardly",
            sources="needless",
            skills="tuning",
            tasks="many",
        ),
        "fine-tune",
        [],
        ["tune the manner", "an adapter a task", "what it forgets"],
    ),  # enough for an adapter each (C41)
    "product data in the model itself, new every quarter": (
        dict(
            knowledge="weights",
            behaviour="plain",
            hallucination="harmless",
            labels="thousands",
            change="monthly",
            sources="needless",
            skills="tuning",
            tasks="one",
        ),
        "rag",
        [],
        ["weights go stale", "who edits the index"],
    ),  # a quarter is soon over (C38)
    "it is said not to work, but nobody counted": (
        dict(
            knowledge="none",
            behaviour="short",
            hallucination="costly",
            labels="none",
            change="hardly",
            sources="needless",
            skills="tuning",
            tasks="one",
        ),
        "measure",
        ["how was it measured?"],
        ["nothing to show it with", "a test set"],
    ),  # no number, no tuning (C43)
    "answers are wrong, nobody knows whether for want of facts or of manner": (
        dict(behaviour="short", labels="hundreds", change="hardly", tasks="one", skills="tuning"),
        "measure",
        [],
        ["facts or manner?", "are facts missing?"],
    ),  # tuning mends one of the two only
    "a labelling prompt with examples that works": (
        dict(
            knowledge="none",
            behaviour="enough",
            hallucination="costly",
            labels="hundreds",
            change="hardly",
            sources="needless",
            skills="tuning",
            tasks="one",
        ),
        "icl",
        [],
        ["examples do it"],
    ),  # what works stays; only a bill could change that
}


@pytest.mark.parametrize("story", STORIES)
def test_stories(story):
    answers, outcome, asked, because = STORIES[story]
    advice = d.decide(answers)
    assert advice.outcome == outcome
    assert [r.name for r in advice.questions] == asked
    assert set(because) <= {r.name for r in advice.reasons}


# -- fronts ------------------------------------------------------------------------------------------------------------


def test_the_json_front_says_what_the_function_says(sample):
    for answers, advice in sample[:200]:
        front = json.loads(d.decide_json(json.dumps(answers)))
        assert front["text"] == d.verdict(advice) and front["text"].startswith(advice.title)
        assert all(rule.why in front["text"] for rule in advice.questions)
        reasons, changes = front["tables"]
        assert [row[1] for row in reasons["rows"]] == [rule.why for rule in advice.reasons]
        assert len(changes["rows"]) == len(advice.changes)
        assert front["record"] == d.record(answers)


def test_the_live_block_starts_with_nothing_known():
    live = Live(
        "decide", d.CONTROLS, "whentofinetune.calculators.decide:decide_json", title="RAG, tuning, or what?"
    )
    assert live.compute()["text"].startswith(OUTCOMES["measure"][0])
    assert live.compute(knowledge="documents")["text"].startswith("RAG")
    json.dumps(live.spec())


def test_advice_as_json_holds_all_of_it():
    answers, outcome, asked, _ = STORIES["an offline kiosk that is to know this week's programme by heart"]
    told = json.loads(json.dumps(d.decide(answers).to_dict()))
    assert told["outcome"] == outcome and len(told["questions"]) == len(asked) and told["answers"] == answers
    stale = next(r for r in told["reasons"] if r["rule"] == "weights go stale")
    assert (
        stale["decides"]
        and stale["claims"] == ["C38"]
        and stale["experiments"] == ["rag_dynamic"]
        and stale["literature"] == ["wu2024"]
    )


def test_the_record_is_a_page_of_sound_markdown(sample):
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    for answers, advice in sample[:50]:
        text = d.record(answers, "2026-03-01")
        assert text.startswith(f"# Decision record: {advice.title}\n\nDate: 2026-03-01\n")
        rows = sum(token.type == "tr_open" for token in parser.parse(text))
        assert rows == 3 + len(QUESTIONS) + len(advice.reasons) + len(advice.changes)
        assert all(rule.why in text for rule in (*advice.questions, *advice.reasons))
    assert "Date" not in d.record({})


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
    assert yaml.safe_load(text) == command._lines(text) == dict.fromkeys(NAMES, UNKNOWN)
    assert all(words in text for q in QUESTIONS for words in (q.asks, *q.options.values()))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"labels": "tens"}', {"labels": "tens"}),
        ("labels: tens  # so far\n\nchange: 'weekly'\n", {"labels": "tens", "change": "weekly"}),
        ("", {}),
    ],
)
def test_answers_are_read_with_and_without_pyyaml(text, answers, monkeypatch):
    assert command.parse(text) == answers
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert command.parse(text) == answers


@pytest.mark.parametrize("text", ["labels tens", "labels: tens\nlabels: none", "labels:"])
def test_lines_that_are_no_answers_are_named(text):
    with pytest.raises(ValueError, match=f"line {text.count(chr(10)) + 1} "):
        command._lines(text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ('{"labels": ', "not valid JSON"),
        ("a: [", "not valid YAML"),
        ("- a", "pairs of a question"),
        ("labels: 30", "labels can't be 30"),
    ],
)
def test_the_command_refuses_what_it_cannot_read(content, says, tmp_path, capsys):
    file = tmp_path / "answers.yml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert cli.main(["decide", "--answers", str(file), "--record", str(tmp_path / "r.md")]) == 2
    shown = capsys.readouterr()
    assert says in shown.err and not shown.out and not (tmp_path / "r.md").exists()


def test_the_command_without_answers_says_how_to_give_some(capsys):
    assert cli.main(["decide"]) == 2
    assert "--questions >" in capsys.readouterr().err


def test_the_command_runs_on_a_bare_python(tmp_path):
    def bare(*words, **more):
        line = [sys.executable, "-S", "-m", "tunewise", "decide", *words]  # -S: nothing that was installed
        return subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "lib")},
            **more,
        ).stdout

    answers = bare("--questions").replace("knowledge: unknown", "knowledge: documents")
    (tmp_path / "answers.yml").write_text(answers, encoding="utf-8")
    told = bare("--answers", str(tmp_path / "answers.yml"), "--record", str(tmp_path / "record.md"))
    assert told.startswith("RAG. ") and "What would change the advice" in told
    assert (
        (tmp_path / "record.md").read_text(encoding="utf-8").startswith("# Decision record: RAG\n\nDate: 20")
    )
    assert json.loads(bare("--answers", "-", "--json", input=answers))["outcome"] == "rag"
