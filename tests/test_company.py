"""The invented company: counts, answers against passages, splits, the voice, records, the labelling rule, and that no model knows it."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict

import pytest
import yaml
from conftest import load

from tunewise.near_duplicates import near_duplicates
from whentofinetune import book_files
from whentofinetune.datasets import company, company_sources
from whentofinetune.datasets.company import QUESTION_KINDS, SPLITS, check_voice, content_kept, says

build = load(company.folder() / "build.py")
desk = build.desk


@pytest.fixture(scope="module")
def pages():
    return {p.id: p for p in company.passages()}


# -- counts and size -------------------------------------------------------------------------------------------------


def test_there_is_enough_of_everything():
    facts = company.facts().values()
    stated = [f for f in facts if f.stated]
    assert len(company.entities()) >= 120 and len(stated) >= 600 and len(company.passages()) >= 150
    assert sum(f.was is not None for f in facts) >= 60
    questions = {kind: company.questions(kind) for kind in QUESTION_KINDS}
    assert len(questions["direct"]) >= 200 and all(len(set(q.ask)) >= 8 for q in questions["direct"])
    assert len(questions["reversed"]) >= 200
    assert len(questions["multihop"]) >= 60
    assert len(questions["unanswerable"]) >= 80
    assert len({q.facts for q in questions["changed"]}) >= 50
    assert len(company.mails()) >= 260 and len(company.tickets()) >= 260 and len(company.labelled()) >= 400
    assert len(company.terms()) >= 60 and len(company.jargon()) >= 200


def test_each_split_can_be_tested_on():
    """Enough test items for an interval, and enough to train on, of each kind."""
    for kind, least in (
        ("direct", 200),
        ("reversed", 150),
        ("multihop", 60),
        ("unanswerable", 30),
        ("changed", 60),
    ):
        assert len(company.questions(kind, "test")) >= least, kind
    for items, train, test in (
        (company.mails, 200, 100),
        (company.tickets, 200, 100),
        (company.labelled, 300, 150),
        (company.jargon, 200, 100),
    ):
        assert len(items("train")) >= train and len(items("test")) >= test and len(items("valid")) >= 40
    for split in SPLITS:
        assert (
            len(set(Counter(t.label for t in company.labelled(split)).values())) == 1
        )  # as many of each desk


def test_handbook_is_in_several_hands_and_of_moderate_length():
    hands = Counter(p.hand for p in company.passages())
    assert set(hands) >= {"manual", "policy", "memo", "faq", "chat", "table"} and min(hands.values()) >= 10
    for p in company.passages():
        words = re.findall(r"[^\s|*#-]\S*", p.text)
        assert 40 <= len(words) <= 160, (p.id, len(words))


def test_size_on_disk():
    sizes = [f.stat().st_size for f in company.folder().rglob("*") if f.is_file()]
    assert sum(sizes) < 4e6 and max(sizes) < 1e6


def test_rebuild_gives_the_same_bytes(tmp_path):
    build.build(tmp_path)
    load(company.folder() / "build_grounded.py").build(tmp_path)
    built = company.folder() / "built"
    assert {f.name for f in tmp_path.iterdir()} == {f.name for f in built.iterdir()}
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (built / file.name).read_bytes(), (
            f"{file.name}: run the builders in data/company/ again"
        )


# -- facts and handbook ----------------------------------------------------------------------------------------------


def test_facts_are_those_of_the_source_files():
    """Read anew with another reader, and compared one by one."""
    files = ("products", "people", "sites", "policies", "suppliers", "customers")
    raw = {}
    for name in files:
        raw |= yaml.load(
            (company.folder() / "facts" / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader
        )
    facts = company.facts()
    assert {f"{e}.{a}" for e, spec in raw.items() for a in spec["facts"]} == {
        f.id for f in facts.values() if f.stated
    }
    name = {"@" + e: spec["name"] for e, spec in raw.items()}
    for e, spec in raw.items():
        for a, value in spec["facts"].items():
            now, was = (value["now"], value["was"]) if isinstance(value, dict) else (value, None)
            fact = facts[f"{e}.{a}"]
            assert (fact.value, fact.was) == (name.get(now, now), name.get(was, was)) and fact.split == spec[
                "split"
            ]


def test_names_are_distinct():
    names = [e.bare.lower() for e in company.entities().values()]
    assert len(set(names)) == len(names)


def test_changes_change_something():
    for f in company.facts().values():
        if f.was:
            assert f.was.lower() != f.value.lower() and re.fullmatch(r"20[12]\d-\d\d-\d\d", f.since)


def test_a_passage_says_what_it_claims_to_say(pages):
    facts, entities = company.facts(), company.entities()
    for p in pages.values():
        for id in p.facts:
            assert says(p.text, facts[id].value), (p.id, id)
            assert says(p.text, entities[facts[id].entity].bare), (p.id, id)
        for id in p.changes:
            assert says(p.text, facts[id].was) and says(p.text, company_sources.day(facts[id].since)), (
                p.id,
                id,
            )
    assert {id for p in pages.values() for id in p.facts} == {f.id for f in facts.values() if f.stated}


def test_nothing_in_the_handbook_is_there_twice(pages):
    texts = [p.text for p in pages.values()]
    assert near_duplicates(texts) == []


def test_a_former_value_stands_only_where_the_change_is_told(pages):
    """So that an answer from the handbook is never out of date by accident. Values that are shared (a person, a site) are left out."""
    values = Counter(v.lower() for f in company.facts().values() for v in {f.value, f.was or f.value})
    for f in company.facts().values():
        if f.was and values[f.was.lower()] == 1 and not f.target:
            for p in pages.values():
                if f.id not in p.changes and says(p.text, company.entities()[f.entity].bare):
                    assert not says(p.text, f.was), (p.id, f.id)


def test_handbook_with_changed_facts():
    changed = {"tolwick.weight": "44.9 kg", "orbrisk.contact": "Anders Quell"}
    before, after = company.passages(), company_sources.handbook(changed)
    for old, new in zip(before, after, strict=True):
        assert (old.id, old.facts) == (new.id, new.facts)
        touched = set(changed) & set(old.facts)
        assert (old.text != new.text) == bool(touched)
        for id in touched:
            assert says(new.text, changed[id]) and not says(new.text, company.facts()[id].value)
    with pytest.raises(KeyError, match="tolwick.soul"):
        company_sources.handbook({"tolwick.soul": "none"})


# -- questions -------------------------------------------------------------------------------------------------------


def test_ids_and_wordings_are_distinct():
    questions = company.questions()
    assert len({q.id for q in questions}) == len(questions)
    asked = defaultdict(set)
    for q in questions:
        assert len(set(q.ask)) == len(q.ask)
        for text in q.ask:
            assert (
                text[0] == text[0].upper() and "{" not in text and "  " not in text and "the the " not in text
            )
            asked[text].add(q.answers)
    assert [text for text, answers in asked.items() if len(answers) > 1] == []  # one wording, one answer


@pytest.mark.parametrize("kind", ["direct", "changed"])
def test_every_answer_is_stated_in_its_passages(pages, kind):
    for q in company.questions(kind):
        (where,) = q.passages
        assert where
        for id in where:
            answer = (
                q.answers[0] if q.aspect != "when" else company_sources.day(company.facts()[q.facts[0]].since)
            )
            assert says(pages[id].text, answer), q.id


def test_a_reversed_question_leads_to_one_entity(pages):
    facts, entities = company.facts(), company.entities()
    for q in company.questions("reversed"):
        fact = facts[q.facts[0]]
        assert q.answers[0] == entities[fact.entity].name and all(says(text, fact.value) for text in q.ask)
        assert all(
            says(pages[id].text, q.answers[-1]) and says(pages[id].text, fact.value) for id in q.passages[0]
        )
        rivals = [
            f.id
            for f in facts.values()
            if f.attribute == fact.attribute
            and entities[f.entity].group == entities[fact.entity].group
            and f.value.lower() == fact.value.lower()
        ]
        assert rivals == [fact.id]


def test_multihop_questions_need_both_passages(pages):
    facts, entities = company.facts(), company.entities()
    for q in company.questions("multihop"):
        first, second = (facts[id] for id in q.facts)
        assert first.target == second.entity and q.answers[0] == second.value
        assert not set(q.passages[0]) & set(q.passages[1])
        for text in q.ask:  # neither the bridge nor the answer is given away
            assert says(text, entities[first.entity].bare)
            assert not says(text, entities[second.entity].bare)
            assert not says(text, second.value)


def test_no_passage_answers_the_unanswerable(pages):
    for q in company.questions("unanswerable"):
        assert q.answers == () and q.truth
        assert not any(says(p.text, q.truth) for p in pages.values()), (q.id, q.truth)


def test_a_changed_question_has_the_answer_of_its_time():
    facts = company.facts()
    for q in company.questions("changed"):
        f = facts[q.facts[0]]
        assert (
            q.answers[0] == {"now": f.value, "before": f.was, "when": company_sources.day(f.since)}[q.aspect]
        )
    before = {q.id: q for q in company.questions("changed")}["changed/tolwick.price/before"]
    assert "On 1 September 2024, what was the price of the Tolwick?" in before.ask
    assert before.answers[0] == "1,247 euro"


def test_unknown_kinds_and_splits_are_said():
    with pytest.raises(ValueError, match="multihop"):
        company.questions("inverse")
    with pytest.raises(ValueError, match="valid"):
        company.mails("dev")


# -- splits ----------------------------------------------------------------------------------------------------------


def test_questions_lie_in_the_split_of_all_their_entities():
    facts, entities = company.facts(), company.entities()
    names = [(e.bare, e.split) for e in entities.values()]
    for q in company.questions():
        for id in q.facts:
            assert facts[id].split == q.split and entities[facts[id].entity].split == q.split
            assert not facts[id].target or entities[facts[id].target].split == q.split
        for text in (q.ask[0], *q.answers):  # the wordings of one question name the same entities
            assert all(split == q.split for name, split in names if name in text and says(text, name)), (
                q.id,
                text,
            )


@pytest.mark.parametrize("items", [company.mails, company.tickets, company.labelled])
def test_mails_and_tickets_name_only_entities_of_their_split(items):
    products = [e for e in company.entities().values() if e.group == "product"]
    for item in items():
        assert all(e.split == item.split for e in products if says(item.text, e.bare)), item.id


@pytest.mark.parametrize("items", [company.mails, company.tickets, company.labelled])
def test_no_text_is_a_near_duplicate_of_another(items):
    """Neither across splits nor within one."""
    assert near_duplicates([item.text for item in items()]) == []


def test_no_writer_town_or_fault_is_in_two_splits():
    for field in ("customer", "town", "fault", "order"):
        seen = {split: {t.record[field] for t in company.tickets(split)} for split in SPLITS}
        assert not any(seen[a] & seen[b] for a, b in itertools.combinations(SPLITS, 2)), field
    senders = {split: {m.sender for m in company.mails(split)} for split in SPLITS}
    assert not any(senders[a] & senders[b] for a, b in itertools.combinations(SPLITS, 2))


def test_no_jargon_sentence_is_in_two_splits():
    terms = {split: {t.term for t in company.terms(split)} for split in SPLITS}
    for q in company.jargon():
        assert q.term in terms[q.split]
        if q.kind in ("name", "gap"):
            assert set(q.options) <= terms[q.split]


# -- mails and the voice ---------------------------------------------------------------------------------------------


def test_every_reply_keeps_the_voice_and_the_content():
    for m in company.mails():
        assert all(check_voice(m.reply, m.sender).values()), (m.id, check_voice(m.reply, m.sender))
        assert content_kept(m, m.reply) == 1 and m.sender.lower() in m.text.lower() and m.code not in m.text
        assert m.code == company.facts()[f"{m.product}.code"].value
        assert m.values == tuple(company.facts()[f].value for f in m.facts)


GOOD = """Good day, Anna Bell.

Shade is a fair wish. The Hasprey [K4-251] weighs 121.4 kg. It may stay out up to 53 km/h. We keep one at the showroom for you to see. Shall we put one aside?

The shade is yours. Zellmarch, Orrenfeld"""
BAD = {
    "greeting": ("Good day, Anna Bell.", "Good day, Anna."),
    "code": ("[K4-251]", "(K4-251)"),
    "offer": ("Shall we put one aside?", "Should we put one aside?"),
    "signoff": ("Zellmarch, Orrenfeld", "Zellmarch, Orrenfeld, Sales"),
    "calm": ("fair wish.", "fair wish!"),
    "house": ("We keep", "I keep"),
    "full_words": ("It may stay", "It's fit to stay"),
    "plain": ("Shade is a fair wish.", "Thank you for the fair wish."),
    "length": (
        "The Hasprey [K4-251] weighs 121.4 kg. It may stay out up to 53 km/h. We keep one at the showroom for you to see.",
        "[K4-251].",
    ),
}


def test_each_rule_of_the_voice_catches_its_breach_and_nothing_else():
    assert all(check_voice(GOOD, "Anna Bell").values())
    assert set(BAD) == {rule.name for rule in company.voice()}
    for name, (right, wrong) in BAD.items():
        assert right in GOOD
        broken = [
            rule for rule, kept in check_voice(GOOD.replace(right, wrong), "Anna Bell").items() if not kept
        ]
        assert broken == [name]


def test_voice_does_not_hold_against_the_sender():
    """A sender may be called what the house must not say."""
    assert check_voice(GOOD.replace("Anna Bell", "Ida Dear"), "Ida Dear")["plain"]
    assert not check_voice("", "Anna Bell")["greeting"]


def test_customers_write_in_no_such_voice():
    kept = [sum(check_voice(m.text, m.sender).values()) for m in company.mails()]
    assert max(kept) < len(company.voice())


def test_says_means_whole_values():
    assert says("It weighs 43.7 kg.", "43.7 kg")
    assert says("(43.7  kg)", "43.7 kg")
    assert says("The Varnish Office", "the varnish office")
    assert not says("It weighs 143.7 kg", "43.7 kg")
    assert not says("part SP-22071", "SP-2207")
    assert not says("at 16:25", "6:25")
    assert not says("1,318 euro", "318 euro") and says("at 6:25.", "6:25") and says("[Q7-418]", "Q7-418")


# -- records ---------------------------------------------------------------------------------------------------------


def test_records_follow_the_schema_and_stand_in_the_text():
    for t in company.tickets():
        assert company.schema_errors(t.record) == []
        assert 5 <= len(t.record) <= 7
        for field, value in t.record.items():
            assert says(t.text, value), (t.id, field)
    assert {len(t.record) for t in company.tickets("test")} == {5, 6, 7}
    assert len({t.channel for t in company.tickets("test")}) >= 5


def test_what_the_schema_has_against_a_record_is_said():
    good = dict(company.tickets("test")[0].record)
    wrong = {
        "'order' is a required": {k: v for k, v in good.items() if k != "order"},
        "'40718' does not match": good | {"order": "40718"},
        "'colour' was unexpected": good | {"colour": "red"},
        "'' ": good | {"town": ""},
    }
    for said, record in wrong.items():
        (found,) = company.schema_errors(record)
        assert said in found


@pytest.mark.parametrize("form", company.FORMS)
def test_records_survive_being_written_and_read(form):
    for t in company.tickets():
        assert company.parse(company.render(t.record, form), form) == t.record


@pytest.mark.parametrize(
    "form, text",
    [
        ("json", '{"a": 1'),
        ("json", "[]"),
        ("json", '{"a": {"b": "c"}}'),
        ("yaml", "a: [b"),
        ("yaml", "word"),
        ("markdown", "a: b"),
        ("markdown", ""),
    ],
)
def test_what_is_no_record_is_refused(form, text):
    with pytest.raises(ValueError):
        company.parse(text, form)


# -- the labelling rule ----------------------------------------------------------------------------------------------


def test_labels_follow_the_rule():
    for t in company.labelled():
        assert desk(t.signs) == t.label


def test_half_of_the_test_tickets_are_worded_anew():
    cues = yaml.safe_load((company.folder() / "wording" / "labels.yaml").read_text(encoding="utf-8"))
    train = " ".join(t.text for t in company.labelled("train"))
    own = [
        c
        for sign in ("trouble", "who", "place", "before")
        for value in cues[sign].values()
        for c in value["test"]
    ]
    assert not any(part in train for c in own for part in [max(c.split("{p}"), key=len)] if len(part) > 12)
    for split in ("valid", "test"):
        for label in company.DESKS:
            wordings = Counter(t.wording for t in company.labelled(split) if t.label == label)
            assert wordings["seen"] == wordings["new"] > 0
    assert {t.wording for t in company.labelled("train")} == {"seen"}


def test_the_name_of_a_product_gives_no_hint_of_the_desk():
    """Always saying the desk that is most frequent for the product is hardly better than chance (a third)."""
    products = [e.bare for e in company.entities().values() if e.group == "product"]
    for split in SPLITS:
        of = defaultdict(Counter)
        for t in company.labelled(split):
            of[next(p for p in products if says(t.text, p))][t.label] += 1
        hits = sum(max(c.values()) for c in of.values()) / sum(sum(c.values()) for c in of.values())
        assert hits < 0.45, split


def test_the_rule_by_hand():
    """Cases worked out from the description in the card."""
    private = {"who": "private", "place": "low", "before": "first"}
    assert desk(private | {"trouble": "rhythm"}) == "bench"
    assert desk(private | {"trouble": "rhythm", "place": "high"}) == "road"
    assert desk(private | {"trouble": "dead", "who": "public"}) == "road"
    assert desk(private | {"trouble": "drone"}) == "letter"
    assert desk(private | {"trouble": "drone", "before": "again"}) == "road"
    assert desk(private | {"trouble": "drone", "who": "trade"}) == "bench"
    assert desk(private | {"trouble": "water"}) == "road"
    assert desk(private | {"trouble": "water", "who": "trade"}) == "letter"
    assert desk(private | {"trouble": "looks"}) == "letter"
    assert desk(private | {"trouble": "looks", "before": "again", "who": "trade"}) == "road"
    assert desk(private | {"trouble": "paper", "before": "again"}) == "letter"


def test_every_part_of_the_rule_matters():
    """No sign is idle: for each there are cases in which it alone decides."""
    values = {
        "trouble": ("rhythm", "drone", "water", "cloth", "dead", "paper", "looks"),
        "who": ("trade", "public", "private"),
        "place": ("high", "low", "unsaid"),
        "before": ("again", "first"),
    }
    cases = [dict(zip(values, v, strict=True)) for v in itertools.product(*values.values())]
    assert {desk(c) for c in cases} == set(company.DESKS)
    for sign, options in values.items():
        assert any(len({desk(c | {sign: o}) for o in options}) > 1 for c in cases), sign


# -- jargon ----------------------------------------------------------------------------------------------------------


def test_jargon_questions_are_sound():
    terms = {t.term: t for t in company.terms()}
    for q in company.jargon():
        assert len(set(q.options)) == len(q.options) == (2 if q.kind == "use" else 4)
        right = q.options[q.answer]
        if q.kind == "meaning":
            assert right == terms[q.term].gloss and q.term in q.question
        elif q.kind in ("name", "gap"):
            assert right == q.term and not re.search(
                rf"\b{re.escape(q.term)}\b", q.question, re.IGNORECASE
            ), q.id
            assert ("___" in q.question) == (q.kind == "gap")
        else:
            assert re.search(rf"\b{re.escape(q.term)}\b", q.question, re.IGNORECASE)
    assert set(Counter((q.term, q.kind) for q in company.jargon()).values()) == {1, 2}
    places_of_answers = Counter(q.answer for q in company.jargon() if q.kind != "use")
    assert min(places_of_answers.values()) > 0.15 * sum(places_of_answers.values())  # no place is favoured


def test_yes_and_no_are_equally_often_right():
    for split in SPLITS:
        uses = Counter(q.options[q.answer] for q in company.jargon(split) if q.kind == "use")
        assert uses["yes"] == uses["no"]


# -- the card, and what a model knows --------------------------------------------------------------------------------


def test_card_tells_the_data_as_they_are():
    card = (company.folder() / "README.md").read_text(encoding="utf-8")
    counts = {kind: Counter(q.split for q in company.questions(kind)) for kind in QUESTION_KINDS}
    for name, items in (
        ("entities", company.entities().values()),
        ("facts", company.facts().values()),
        ("mails", company.mails()),
        ("tickets", company.tickets()),
        ("labelled", company.labelled()),
        ("terms", company.terms()),
        ("jargon", company.jargon()),
    ):
        counts[name] = Counter(i.split for i in items)
    for name, count in counts.items():
        assert (
            f"| {name} | {sum(count.values())} | {count['train']} | {count['valid']} | {count['test']} |"
            in card
        ), (name, count)
    assert f"{len(company.passages())} passages" in card
    assert "(company/README.md)" in (book_files.data_dir() / "README.md").read_text(encoding="utf-8")


def test_the_bundled_model_does_not_know_the_company():
    """Closed book: 30 questions of 30 attributes; one right by luck is let pass."""
    torch = pytest.importorskip("torch")
    from tunewise.generation import generate
    from tunewise.models.download import FetchError
    from tunewise.models.load import load

    try:
        lm = load()
    except FetchError as error:
        pytest.skip(f"the bundled model can't be had: {error}")
    of = defaultdict(list)
    for q in company.questions("direct"):
        of[company.entities()[company.facts()[q.facts[0]].entity].group, q.facts[0].split(".")[1]].append(q)
    draw = random.Random(7)
    chosen = [draw.choice(of[key]) for key in draw.sample(sorted(of), 30)]
    prompts = [
        f"<|im_start|>user\n{draw.choice(q.ask)} Answer in a few words.<|im_end|>\n<|im_start|>assistant\n"
        for q in chosen
    ]
    with torch.inference_mode():
        said = generate(lm, prompts, max_new_tokens=12, batch_size=30)
    right = [
        (q.ask[0], text)
        for q, text in zip(chosen, said, strict=True)
        if any(says(text, a) for a in q.answers)
    ]
    assert len(right) <= 1, right
