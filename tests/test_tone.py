"""Tone, style, format: replies and records are marked rightly, a grammar holds a model, pages and verdicts read a record as they should."""

import json

import jsonschema
import numpy as np
import pytest
import torch
import yaml
from test_finetune import small

from tunewise import constrained
from tunewise.generation import generate
from tunewise.report import prose
from whentofinetune import book_records
from whentofinetune.datasets import company
from whentofinetune.experiments import formats, voice
from whentofinetune.old_bench import Bench
from whentofinetune.old_steps import Work
from whentofinetune.pages import tone, tone_verdicts, verdict

LINES = {"yaml": "{field}: ", "markdown": "- **{field}**: "}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """The steps of an experiment on two layers with random weights."""
    lm = small()  # reads the tokenizer from the user's cache
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))
    made = Bench("smollm2-135m", Work({"model": "small"}, say=None), None)
    made.__dict__["lm"] = lm
    return made


# -- voice ------------------------------------------------------------------------------------------------------------


def test_a_right_reply_keeps_all_rules_and_says_all():
    mails = company.mails("valid")[:10]
    scored = voice.marked(mails, [m.reply for m in mails])
    assert scored["voice"]["value"] == scored["all_rules"]["value"] == scored["content"]["value"] == 1
    assert scored["false_code"]["value"] == 0 and scored["kept"] == ["1" * 9] * 10


def test_what_is_wrong_with_a_reply_is_counted_where_it_belongs():
    """By hand: a contraction, a false code, no values; the other eight rules are kept."""
    mail = next(m for m in company.mails("valid") if len(m.values) == 1)
    filler = "We have looked it up in the handbook, and it's kept up by people who know the house and each of its sheets by heart."
    false = f"Good day, {mail.sender}.\n\nThis is the one with [Z9-999]. {filler} Shall we draw up an offer?\n\nThe shade is yours. Zellmarch, Orrenfeld"
    scored = voice.marked([mail, mail], [mail.reply, false])
    names = [r.name for r in company.voice()]
    assert scored["kept"][1] == "".join("0" if n == "full_words" else "1" for n in names)
    assert scored["voice"]["value"] == pytest.approx((1 + 8 / 9) / 2)
    assert scored["rules"]["full_words"]["value"] == scored["all_rules"]["value"] == 0.5
    assert scored["content_items"] == [1.0, 0.0] and scored["false_items"] == "01"


def test_prompts_hold_what_their_way_may_know():
    mail, shots = company.mails("test")[0], voice.drawn(3, seed=1)
    assert mail.code not in voice.prompt(mail, facts=False)
    assert all(v in voice.prompt(mail, facts=True) for v in (mail.code, *mail.values))
    for rules in (False, True):
        start = voice.prefix(rules, shots, facts=True)
        assert (company.voice_prompt() in start) is rules
        assert [start.count(m.reply) for m in shots] == [1, 1, 1] and start.endswith("<|im_start|>user\n")
    assert [m.id for m in voice.drawn(20, 1)] == [m.id for m in voice.drawn(60, 1)][:20], (
        "more pairs are the same pairs and others"
    )
    assert {m.split for m in voice.drawn(240, 0)} == {"train"}


def test_prompts_are_what_the_chat_template_makes():
    """transformers fills the model's own template; we write ChatML ourselves, to share a prefix."""
    mail, shot = company.mails("test")[0], company.mails("train")[0]
    turns = [{"role": "system", "content": voice.system(True)}]
    for m in (shot, mail):
        turns.append({"role": "user", "content": voice.prompt(m, True).removesuffix(voice.ASKED)})
        turns += [{"role": "assistant", "content": m.reply}] if m is shot else []
    theirs = small().tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert voice.prefix(True, [shot], True) + voice.prompt(mail, True) == theirs


def test_voice_runs_and_keeps_what_its_metrics_come_from(bench):
    params = voice.EXPERIMENT.scales["smoke"] | {"prompts": ["examples", "both"], "labels_without": [[2, 1]]}
    rows = voice.run(bench, params)
    assert [(r["method"], r.get("facts")) for r in rows[1:]] == [
        ("rules", False),
        ("examples", False),
        ("lora", False),
        ("rules", True),
        ("examples", True),
        ("both", True),
        ("lora", True),
    ]
    for r in rows[1:]:
        kept = np.array([[int(k) for k in ks] for ks in r["kept"]])
        assert r["voice"]["value"] == pytest.approx(kept.mean()) and r["all_rules"]["value"] == pytest.approx(
            kept.all(axis=1).mean()
        )
        assert len(r["replies"]) == params["test_n"]
    again = voice.run(Bench("smollm2-135m", bench.work, None), params)  # no model: every step is found again
    assert again == rows


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", company.FORMS)
def test_a_grammar_takes_every_right_record_and_no_wrong_one(form):
    from llguidance import LLMatcher

    tokenizer = small().tokenizer
    vocabulary = constrained._vocabulary(tokenizer, 49152)

    def takes(text: str) -> bool:
        matcher = LLMatcher(vocabulary, formats.grammar(form))
        assert not matcher.is_error(), matcher.get_error()
        return (
            matcher.consume_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])
            and matcher.is_accepting()
        )

    for t in company.tickets()[::5]:
        assert takes(company.render(t.record, form))
    record = dict(company.tickets("valid")[0].record)
    wrong = [
        record | {"order": "ZO-1234"},
        record | {"town": ""},
        record | {"town": "A"},
        record | {"fault": "x" * 200},
    ]
    wrong.append({k: v for k, v in record.items() if k != "town"})
    assert not any(takes(company.render(w, form)) for w in wrong)
    other = next(f for f in company.FORMS if f != form)
    assert not takes(company.render(record, other)) and not takes("Sure! " + company.render(record, form))


@pytest.mark.parametrize("form", company.FORMS)
def test_a_held_model_writes_nothing_but_the_form(form):
    """Random weights, so that nothing but the grammar can be the reason. Judged by jsonschema and PyYAML."""
    lm = small()
    with constrained.held(lm, formats.grammar(form)):
        replies = generate(
            lm, ["The ticket:\n", "Once", "A record\n"], max_new_tokens=320, batch_size=2, stop=None
        )
    assert "generate" not in vars(lm.model), "the model is free again"
    for reply in replies:
        record = (
            json.loads(reply)
            if form == "json"
            else yaml.safe_load(reply)
            if form == "yaml"
            else company.parse(reply, form)
        )
        jsonschema.validate(record, company.ticket_schema())
    assert generate(lm, ["Once"], max_new_tokens=20, stop=None) != replies[1:2]


def test_a_held_model_chooses_the_likeliest_of_what_is_allowed():
    """Two words: at each step the likeliest token that still leads to one of them, found here by trying every piece of both."""
    from llguidance import LLMatcher

    lm, words, prompts = (
        small(),
        (" green", " black"),
        ["The colour of grass is", "Coal is", "Snow is", "Say"],
    )
    with constrained.held(lm, LLMatcher.grammar_from_regex("( green| black)")):
        said = generate(lm, prompts, max_new_tokens=8, stop=None)
    vocabulary = lm.tokenizer.get_vocab()
    for prompt, found in zip(prompts, said, strict=True):
        start, text = lm.tokenizer(prompt)["input_ids"], ""
        while text not in words:
            pieces = {
                w[len(text) : end]
                for w in words
                if w.startswith(text)
                for end in range(len(text) + 1, len(w) + 1)
            }
            known = {
                vocabulary[p.replace(" ", "\u0120")]: p
                for p in pieces
                if p.replace(" ", "\u0120") in vocabulary
            }
            with torch.no_grad():
                logits = lm.model(torch.tensor([start])).logits[0, -1]
            best = max(known, key=lambda i: logits[i])
            start, text = [*start, best], text + known[best]
        assert found == text.strip()


def test_a_grammar_that_is_none_is_refused():
    with (
        pytest.raises(ValueError, match="cannot read the grammar"),
        constrained.held(small(), "no grammar") as lm,
    ):
        generate(lm, ["a"], max_new_tokens=2)
    with pytest.raises(ValueError, match="must be required"):
        constrained.line_grammar({"properties": {"a": {}}, "required": []}, "{field}: ", quoted=False)


def test_a_reply_is_read_kindly():
    record = {"customer": "Ivo Tarn", "order": "ZO-12345"}
    text = company.render(record, "json")
    assert formats.read(text, "json") == (record, True)
    assert formats.read(f"Here it is:\n```json\n{text}\n```\nAnything else?", "json") == (record, False)
    assert formats.read(f"Sure. {text} Done.", "json") == (record, False)
    assert formats.read(f"```yaml\n{company.render(record, 'yaml')}\n```", "yaml") == (record, False)
    assert formats.read("I can't.", "json") == (None, False)
    assert formats.read(text[:-1], "json") == (None, False), "cut off: no record"


def test_records_are_marked_as_by_hand():
    """Three tickets: all right; one of its values wrong and one field too many; unreadable."""
    one, two, three = (t for t in company.tickets("valid")[:3])
    n = len(two.record)
    twisted = dict(two.record) | {"town": "Nowhere", "mood": "bad"}
    twisted = "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in twisted.items()) + "}"
    scored = formats.marked([one, two, three], [company.render(one.record, "json"), twisted, "no"], "json")
    assert scored["outcomes"] == "ppx" and scored["valid_items"] == "100"
    assert scored["counts"] == [[len(one.record)] * 3, [n - 1, n, n + 1], [0, len(three.record), 0]]
    assert scored["fields"]["value"] == pytest.approx((1 + (n - 1) / n + 0) / 3)
    assert scored["fields_if_parsed"]["value"] == pytest.approx((1 + (n - 1) / n) / 2)
    assert scored["f1"]["value"] == pytest.approx((1 + 2 * (n - 1) / (2 * n + 1)) / 3)
    assert scored["whole"]["value"] == pytest.approx(1 / 3)


def test_formats_runs_with_and_without_the_constraint(bench):
    every = {way: [0] for way in formats.ways([0])}
    params = formats.EXPERIMENT.scales["smoke"] | {
        "forms": {"json": every, "markdown": {"schema + constraint": [0]}},
        "max_new_tokens": 320,
    }
    rows = formats.run(bench, params)
    for r in rows[1:]:
        if r["constrained"]:
            assert r["valid"]["value"] == r["as_is"]["value"] == 1, (r["form"], r["method"], r["replies"])
        else:
            assert r["parsed"]["value"] == 0, "random weights write no JSON"
    assert {(r["form"], r["method"], r["constrained"]) for r in rows[1:]} == {
        *(("json", m, c) for m in ("schema", "examples", "lora") for c in (False, True)),
        ("markdown", "schema", True),
    }


# -- pages and verdicts -------------------------------------------------------------------------------------------------


def record(name: str, rows: list[dict]) -> book_records.RunRecord:
    return book_records.RunRecord(
        name, "full", 1, {}, [0, 1], rows, "key", {}, "a machine", {}, "2026-01-01", 60.0
    )


BARE = "Hi! I'm glad you asked, and here is the product that we have for you."


def voice_record(good: str, *, content: bool = True) -> book_records.RunRecord:
    """Sixteen mails; the way ``good`` replies rightly, all others barely. content: whether the good way says the values."""
    mails = company.mails("test")[:16]
    rows = [
        {
            "method": "items",
            "mails": [m.id for m in mails],
            "rules": {r.name: r.says for r in company.voice()},
        }
    ]

    def right(m):
        text = m.reply
        for v in () if content else (m.code, *m.values):
            text = text.replace(v, "A1-234" if v == m.code else "the same")
        return text

    for facts in (False, True):
        for method, n in (("rules", None), ("examples", None), ("both", None), ("lora", 20), ("lora", 200)):
            for seed in (0,) if method == "rules" else (0, 1):
                replies = [
                    right(m) if method == good else f"{BARE} {m.code} {' '.join(m.values)}" for m in mails
                ]
                rows.append(
                    {
                        "method": method,
                        "facts": facts,
                        "seed": seed,
                        **({"n_labels": n} if n else {}),
                        "prompt_tokens": 100.0,
                        **voice.marked(mails, replies),
                        **({"replies": replies[:4]} if seed == 0 else {}),
                    }
                )
    return record("voice", rows)


@pytest.mark.parametrize(
    ("good", "content", "c9", "c35"),
    [
        ("lora", True, "yes", "yes"),
        ("lora", False, "yes", "partly"),
        ("both", True, "no", "no"),
        ("nobody", True, "partly", "partly"),
    ],
)
def test_verdicts_on_the_voice_follow_the_record(good, content, c9, c35):
    made = voice_record(good, content=content)
    assert tone_verdicts.c9(made)[1] == c9 and tone_verdicts.c35(made)[1] == c35
    for claim, found in (("C9", tone_verdicts.c9(made)), ("C35", tone_verdicts.c35(made))):
        assert claim in repr(verdict(claim, *found))
    assert ("no knowledge" in tone_verdicts.c9(made)[2]) is (good == "lora" and not content), (
        "false codes are told where there are any"
    )


def test_the_best_prompt_and_the_differences_are_those_of_the_record():
    made = voice_record("both")
    assert tone.best_prompt(made) == ("both", True, None) and tone.most_pairs(made) == ("lora", True, 200)
    bare = voice.marked(company.mails("test")[:16], [BARE] * 16)["voice"]["value"]
    gap = tone.style_gap(made, ("both", True, None), ("rules", True, None), "voice")
    assert gap["value"] == pytest.approx(1 - bare, abs=0.06) and gap["low"] > 0 and gap["seeds"] == 2
    assert tone.style_gap(made, ("rules", True, None), ("both", True, None), "voice")[
        "value"
    ] == pytest.approx(-gap["value"])


def formats_record(
    valid: dict[tuple[str, bool], bool], right: dict[tuple[str, bool], bool]
) -> book_records.RunRecord:
    """Twelve tickets in JSON; a way that is not valid writes nothing that parses, one that is not right has each town wrong."""
    tickets = company.tickets("test")[:12]
    rows = [{"method": "items", "tickets": [t.id for t in tickets]}]
    for way, is_valid in valid.items():
        replies = [
            company.render(
                dict(t.record) | ({} if right[way] else {"town": "Nowhere", "fault": "some trouble"}), "json"
            )
            for t in tickets
        ]
        replies = replies if is_valid else ["no"] * len(replies)
        rows += [
            {
                "form": "json",
                "method": way[0],
                "constrained": way[1],
                "seed": s,
                "replies": replies[:3],
                **formats.marked(tickets, replies, "json"),
            }
            for s in (0, 1)
        ]
    return record("formats", rows)


@pytest.mark.parametrize(
    ("free", "tuned", "verdict_", "from_tuning"),
    [
        (False, True, "partly", True),
        (True, True, "partly", True),
        (False, False, "partly", True),
        (True, False, "no", True),
    ],
)
def test_the_verdict_on_formats_follows_the_record(free, tuned, verdict_, from_tuning):
    every = [(m, held) for m in ("schema", "examples", "lora") for held in (False, True)]
    valid = {w: w[1] or (tuned if w[0] == "lora" else free) for w in every}
    made = formats_record(valid, {w: w[0] == "lora" for w in every})
    ours, agrees, why = tone_verdicts.c10(made)
    assert agrees == verdict_ and ("Content comes from tuning" in why) is from_tuning
    assert "C10" in repr(verdict("C10", ours, agrees, why))
    for shown in (tone.formats_figure(made), tone.formats_table(made), prose(tone.formats_summary(made))):
        assert repr(shown)


def test_figures_show_what_the_record_holds():
    made = voice_record("lora")
    for shown in (
        tone.voice_figure(made),
        tone.style_content_figure(made),
        tone.rules_figure(made),
        tone.style_table(made),
        tone.rules_table(made),
        tone.reply_examples(made),
        tone.live_voice(made),
        prose(tone.voice_summary(made)),
    ):
        assert repr(shown)
    points = {d["name"]: (d["x"][0], d["y"][0]) for d in tone.style_content_figure(made).data}
    assert points["LoRA, 200 pairs, facts given"] == (1.0, 1.0) and len(points) == 10
    assert "9 of 9 rules" in repr(tone.reply_examples(made))


def test_the_form_checks_a_reply():
    mail = company.mails("valid")[0]
    form = tone.CheckIt(
        company.check_voice, {r.name: r.says for r in company.voice()}, mail.reply, mail.sender
    )
    assert "9 of 9 rules kept" in repr(form.page(mail.reply, mail.sender))
    assert "8 of 9 rules kept" in repr(form.page(mail.reply.replace("Shall we", "May we"), mail.sender))
    sender, reply, out = form.widget().children
    reply.value = " "
    assert "Write a reply first" in str(out.outputs)
    assert "text/html" in form._repr_mimebundle_()
