"""Tone, style, format: replies and records are scored rightly, a grammar constrains a model, pages read a record as they should."""

import json

import jsonschema
import numpy as np
import pytest
import torch
import yaml
from small_model import made_up, run_small, small, small_context

from tunewise import constrained
from tunewise.experiment import Condition, Params
from tunewise.generation import generate
from whentofinetune import book_records, experiments, mail_replies, ticket_records
from whentofinetune.calculators import voice_check
from whentofinetune.datasets import company
from whentofinetune.experiments import voice
from whentofinetune.pages import Live, tone
from whentofinetune.pages.accuracy import best
from whentofinetune.pages.condition_names import names

RULES = [rule.name for rule in company.voice()]


def only(experiment, scores):
    """Scores as a row with its metrics."""
    return made_up(experiment, [(Condition("x"), scores)]).results[0]


def values(row, *metrics):
    return [row[m]["value"] for m in metrics]


# -- voice ------------------------------------------------------------------------------------------------------------


def test_a_right_reply_keeps_all_rules_and_says_all():
    mails = company.mails("valid")[:10]
    row = only(experiments.get("voice"), mail_replies.scored(mails, [m.reply for m in mails]))
    assert values(row, "voice", "all_rules", "content", "false_code") == [1, 1, 1, 0]
    assert {k: m["value"] for k, m in row["rules"].items()} == dict.fromkeys(RULES, 1)
    assert row.groups == [m.product for m in mails]


def test_what_is_wrong_with_a_reply_is_counted_where_it_belongs():
    """By hand: a contraction, a false code, no values; the other eight rules are kept."""
    mail = next(m for m in company.mails("valid") if len(m.values) == 1)
    filler = "We have looked it up in the handbook, and it's kept up by people who know the house and each of its sheets by heart."
    false = f"Good day, {mail.sender}.\n\nThis is the one with [Z9-999]. {filler} Shall we draw up an offer?\n\nThe shade is yours. Zellmarch, Orrenfeld"
    row = only(experiments.get("voice"), mail_replies.scored([mail, mail], [mail.reply, false]))
    assert [row.outcomes(f"rules.{n}")[1] for n in RULES] == [float(n != "full_words") for n in RULES]
    assert row.outcomes("voice") == pytest.approx([1, 8 / 9])
    assert values(row, "all_rules") == [0.5] and row["rules"]["full_words"]["value"] == 0.5
    assert (row.outcomes("content"), row.outcomes("false_code")) == ([1.0, 0.0], [0.0, 1.0])


def test_prompts_hold_what_their_method_may_know():
    mail, shots = company.mails("test")[0], mail_replies.drawn(3, seed=1)
    assert mail.code not in mail_replies.prompt(mail, facts=False)
    assert all(v in mail_replies.prompt(mail, facts=True) for v in (mail.code, *mail.values))
    for rules in (False, True):
        start = mail_replies.prefix(rules, shots, facts=True)
        assert (company.voice_prompt() in start) is rules
        assert [start.count(m.reply) for m in shots] == [1, 1, 1] and start.endswith("<|im_start|>user\n")
    assert [m.id for m in mail_replies.drawn(20, 1)] == [m.id for m in mail_replies.drawn(60, 1)][:20], (
        "more pairs are the same pairs and others"
    )
    assert {m.split for m in mail_replies.drawn(240, 0)} == {"train"}


def test_prompts_are_what_the_chat_template_makes():
    """transformers fills the model's own template; we write ChatML ourselves, to share a prefix."""
    mail, shot = company.mails("test")[0], company.mails("train")[0]
    turns = [{"role": "system", "content": mail_replies.system(True)}]
    for m in (shot, mail):
        turns.append(
            {"role": "user", "content": mail_replies.prompt(m, True).removesuffix(mail_replies.ANSWER)}
        )
        turns += [{"role": "assistant", "content": m.reply}] if m is shot else []
    theirs = small().tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert mail_replies.prefix(True, [shot], True) + mail_replies.prompt(mail, True) == theirs


def test_voice_runs_once(tmp_path, monkeypatch):
    params = experiments.get("voice").scales["smoke"] | {
        "prompts": ["examples", "both"],
        "labels_without": [[2, 1]],
    }
    ctx = small_context(tmp_path, monkeypatch, params)
    found = run_small(experiments.get("voice"), ctx)
    assert [(r["method"], r["with_facts"]) for r in found.results] == [
        *((m, False) for m in ("rules", "examples", "lora")),
        *((m, True) for m in ("rules", "examples", "both", "lora")),
    ]
    mails = {m.id: m for m in company.mails("test")}
    for r in found.results:
        kept = [company.check_voice(t, mails[i].sender) for i, t in zip(r.items, r["replies"], strict=True)]
        assert r["voice"]["value"] == pytest.approx(np.mean([list(k.values()) for k in kept]))
    ctx.rows, ctx.lm = [], None  # no model: every condition is found again
    assert run_small(experiments.get("voice"), ctx).rows == found.rows


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", company.FORMS)
def test_a_grammar_takes_every_right_record_and_no_wrong_one(form):
    from llguidance import LLMatcher

    tokenizer = small().tokenizer
    vocabulary = constrained._vocabulary(tokenizer, 49152)

    def takes(text: str) -> bool:
        matcher = LLMatcher(vocabulary, ticket_records.grammar(form))
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
def test_a_constrained_model_writes_nothing_but_the_form(form):
    """Random weights, so that nothing but the grammar can be the reason. Judged by jsonschema and PyYAML."""
    lm = small()
    with constrained.constrained_to(lm, ticket_records.grammar(form)):
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


def test_a_constrained_model_chooses_the_likeliest_of_what_is_allowed():
    """Two words: at each step the likeliest token that still leads to one of them, found here by trying every piece of both."""
    from llguidance import LLMatcher

    lm, words, prompts = (
        small(),
        (" green", " black"),
        ["The colour of grass is", "Coal is", "Snow is", "Say"],
    )
    with constrained.constrained_to(lm, LLMatcher.grammar_from_regex("( green| black)")):
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
        constrained.constrained_to(small(), "no grammar") as lm,
    ):
        generate(lm, ["a"], max_new_tokens=2)
    with pytest.raises(ValueError, match="must be required"):
        constrained.line_grammar({"properties": {"a": {}}, "required": []}, "{field}: ", quoted=False)


def test_a_reply_is_parsed_leniently():
    record = {"customer": "Ivo Tarn", "order": "ZO-12345"}
    text = company.render(record, "json")
    assert ticket_records.read(text, "json") == (record, True)
    assert ticket_records.read(f"Here it is:\n```json\n{text}\n```\nAnything else?", "json") == (
        record,
        False,
    )
    assert ticket_records.read(f"Sure. {text} Done.", "json") == (record, False)
    assert ticket_records.read(f"```yaml\n{company.render(record, 'yaml')}\n```", "yaml") == (record, False)
    assert ticket_records.read("I can't.", "json") == (None, False)
    assert ticket_records.read(text[:-1], "json") == (None, False), "cut off: no record"


def test_records_are_scored_as_by_hand():
    """Three tickets: all right; one of its values wrong and one field too many; unreadable."""
    one, two, three = (t for t in company.tickets("valid")[:3])
    n = len(two.record)
    twisted = dict(two.record) | {"town": "Nowhere", "mood": "bad"}
    twisted = "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in twisted.items()) + "}"
    texts = [company.render(one.record, "json"), twisted, "no"]
    row = only(experiments.get("formats"), ticket_records.scored([one, two, three], texts, "json"))
    assert [row.outcomes(m) for m in ("as_is", "parsed", "valid")] == [[1, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert row["counts"] == [[len(one.record)] * 3, [n - 1, n, n + 1], [0, len(three.record), 0]]
    assert row.outcomes("fields") == pytest.approx([1, (n - 1) / n, 0])
    assert row["fields_if_parsed"]["value"] == pytest.approx((1 + (n - 1) / n) / 2)
    assert row.outcomes("f1") == pytest.approx([1, 2 * (n - 1) / (2 * n + 1), 0])
    assert row.outcomes("whole") == [1, 0, 0]


def test_formats_runs_with_and_without_the_constraint(tmp_path, monkeypatch):
    arms = [f"{m}{end}" for m in ("schema", "examples", "lora") for end in ("", " + constraint")]
    forms = {"json": {arm: [0] for arm in arms}, "markdown": {"schema + constraint": [0]}}
    params = experiments.get("formats").scales["smoke"] | {"forms": forms, "max_new_tokens": 320}
    ctx = small_context(tmp_path, monkeypatch, params)
    found = run_small(experiments.get("formats"), ctx)
    for r in found.results:
        if r["constrained"]:
            assert values(r, "valid", "as_is") == [1, 1], (r["form"], r["method"], r["replies"])
        else:
            assert values(r, "parsed") == [0], "random weights write no JSON"
    assert {(r["form"], r["method"], r["constrained"]) for r in found.results} == {
        *(("json", m, c) for m in ("schema", "examples", "lora") for c in (False, True)),
        ("markdown", "schema", True),
    }
    lora = found.where(method="lora")
    assert lora[0]["train_seconds"] == lora[1]["train_seconds"], (
        "one training, asked with and without constraint"
    )


# -- pages -------------------------------------------------------------------------------------------------


BARE = "Hi! I'm glad you asked, and here is the product that we have for you."


def voice_record(good: str, *, content: bool = True):
    """Sixteen mails; the method ``good`` replies rightly, all others barely. content: whether the good one says the values."""
    mails = company.mails("test")[:16]
    params = experiments.get("voice").scales["full"] | {"seeds": [0, 1]}
    params |= {size: [[20, 2], [200, 2]] for size in ("labels_without", "labels_with")}

    def right(m):
        text = m.reply
        for v in () if content else (m.code, *m.values):
            text = text.replace(v, "A1-234" if v == m.code else "the same")
        return text

    rows = []
    for c in voice.conditions(Params(params)):
        bare = [f"{BARE} {m.code} {' '.join(m.values)}" for m in mails]
        replies = [right(m) for m in mails] if c.method == good else bare
        rows.append((c, mail_replies.scored(mails, replies, prompt_tokens=100.0, replies=replies[:4])))
    return made_up(experiments.get("voice"), rows, **params)


def test_the_best_prompt_and_the_differences_are_those_of_the_record():
    made = voice_record("both")
    arms = tone.replies(made)
    assert list(arms) == [*list(names("voice"))[:3], "LoRA, 20 pairs", "LoRA, 200 pairs"]
    assert list(tone.replies(made, False)) == [n for n in arms if n != "rules and 3 examples"]
    bare = np.mean([list(company.check_voice(BARE, "Ida Dear").values())])
    kept = tone.share(arms["LoRA, 200 pairs"], "voice")["value"]
    assert best(arms, "voice") == "rules and 3 examples" and kept == pytest.approx(bare, abs=0.06)


def test_a_share_stays_between_none_and_all():
    rows = tone.replies(voice_record("lora", content=False))["LoRA, 200 pairs"]
    assert all(
        0 <= tone.share(rows, m)["low"] <= tone.share(rows, m)["high"] <= 1 for m in ("voice", "content")
    )


def formats_record(valid: dict[tuple[str, bool], bool], right: dict[tuple[str, bool], bool]):
    """Twelve tickets in JSON; a method that is not valid writes nothing that parses, one that is not right has each town wrong."""
    tickets = company.tickets("test")[:12]
    wrong = {"town": "Nowhere", "fault": "some trouble"}
    rows = []
    for way, is_valid in valid.items():
        records = [dict(t.record) | ({} if right[way] else wrong) for t in tickets]
        texts = [company.render(r, "json") if is_valid else "no" for r in records]
        for seed in (0, 1):
            c = Condition(way[0], form="json", constrained=way[1], seed=seed)
            rows.append((c, ticket_records.scored(tickets, texts, "json")))
    return made_up(experiments.get("formats"), rows)


def test_forms_are_read_from_the_record():
    """Every constraint and LoRA write valid records; LoRA alone gets all fields right."""
    every = [(m, constrained) for m in ("schema", "examples", "lora") for constrained in (False, True)]
    made = formats_record({w: w[1] or w[0] == "lora" for w in every}, {w: w[0] == "lora" for w in every})
    assert list(tone.extractions(made))[-2:] == ["LoRA", "LoRA + constraint"]
    lines = tone.formats_table(made).text.splitlines()
    (none,) = (line for line in lines if line.startswith("2 examples  "))
    assert none.count("0 % [") == 5 and none.split()[-2:] == ["-", "2"], "nothing parses"
    assert "LoRA + constraint 100 %" in tone.formats_figure(made).alt


def test_figures_show_what_the_record_holds():
    made = voice_record("lora")
    points = {d["name"]: (d["x"][0], d["y"][0]) for d in tone.style_content_figure(made).data}
    assert points["LoRA, 200 pairs, facts given"] == (1.0, 1.0) and len(points) == 9
    assert "9 of 9 rules" in tone.reply_examples(made).text
    table = tone.style_table(made, facts=False).text.splitlines()
    assert len(table) == 6 and "LoRA, 20 pairs" in table[-2]
    assert "greeting 100 %" in tone.rules_figure(made).alt


def test_the_checker_on_the_page_checks_a_reply():
    mail = company.mails("valid")[0]
    live = Live("voice-check", voice_check.CONTROLS, "whentofinetune.calculators.voice_check:voice_json")
    assert "9 of 9 rules" in live.compute(reply=mail.reply, sender=mail.sender)["text"]
    broken = live.compute(reply=mail.reply.replace("Shall we", "May we"), sender=mail.sender)
    assert "8 of 9 rules" in broken["text"]
    with pytest.raises(ValueError, match="a reply first"):
        live.compute(reply=" ")


def test_the_chapter_says_how_many_tickets_were_trained_on_and_how_many_shown():
    for model in ("smollm2-135m", "qwen2.5-coder-0.5b"):
        params = book_records.load("formats", model=model).params
        assert (params["labels"], params["k"]) == (60, 2), model
