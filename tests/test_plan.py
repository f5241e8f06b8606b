"""``tunewise plan``: tokens against a hand count, fits against the estimator, prices against arithmetic, and what it refuses."""

import csv
import json

import pytest

from finetune_memory import GPUS, estimate
from finetune_memory.fit import CONTEXT
from finetune_memory.memory_command import main as memory
from tunewise.cli import main
from tunewise.compare.intake import prepare
from whentofinetune.commands import plan_command as plan

WORDS = ("late", "refund", "invoice", "login", "broken", "screen", "parcel")


@pytest.fixture
def mails(tmp_path):
    """A file of 90 mails of one to 30 words, of two kinds."""
    rows = [
        (f"mail {i} " + " ".join(WORDS[(i + k) % 7] for k in range(i % 30)), ("bug", "bill")[i % 2])
        for i in range(90)
    ]
    file = tmp_path / "mails.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("text", "label"), *rows])
    return file


def test_tokens_are_those_of_prompt_and_answer(mails):
    data = prepare(mails)
    texts = [
        f"Say which of these it is: bill or bug.\n\nText: {i.text}\nAnswer: {i.target}" for i in data.train
    ]
    lengths = sorted(len(text.split()) + 1 for text in texts)  # a word a token, and one for the end
    told = plan.tokens(data, lambda text: len(text.split()), epochs=2, batch=1, seq=30)
    assert (told.rows, told.longest, told.median) == (
        len(texts),
        lengths[-1],
        round(lengths[len(lengths) // 2]),
    )
    assert told.cut == sum(n > 30 for n in lengths) > 0
    assert told.trained == 2 * sum(min(n, 30) for n in lengths)  # alone in its batch, no row is padded
    assert told.steps == 2 * len(lengths)
    padded = plan.tokens(data, lambda text: len(text.split()), epochs=1, batch=len(texts), seq=None)
    assert (padded.seq, padded.cut, padded.trained) == (
        64,
        0,
        len(texts) * lengths[-1],
    )  # all as long as the longest


def test_a_fit_is_the_largest_that_the_estimator_lets_on_the_card(mails):
    told = plan.tokens(prepare(mails), len, 3, 8, 2048)
    found = plan.plan("llama-2-7b", told, 8, 16, {"T4 16 GB": 0.4})
    t4 = {fit.method: fit for fit in found if fit.gpu == "T4 16 GB"}
    assert "full" not in t4 and 1 <= t4["qlora"].rows_at_once < 8
    for fit in found:
        gpu = next(g for g in GPUS.values() if g.name == fit.gpu)
        step = plan.settings("llama-2-7b", fit.method, gpu, 2048, 16, fit.rows_at_once)
        step = step.replace(
            accumulation=fit.rows_at_once < 8
        )  # gradients are accumulated where not all fit at once
        assert estimate(step).peak_bytes == fit.peak_bytes <= gpu.total - CONTEXT[1]
        more = estimate(step.replace(batch=fit.rows_at_once + 1)).peak_bytes
        assert fit.rows_at_once == 8 or more + CONTEXT[1] > gpu.total
        assert (step.dtype == "bf16") is (gpu.arch >= 80)
    assert t4["qlora"].euro == pytest.approx([0.4 * h for h in t4["qlora"].hours])
    assert all(fit.euro is None for fit in found if fit.gpu != "T4 16 GB")
    # Kaplan et al.: two operations a weight and pass; forward twice (checkpointing) and back once, at half the card's rate
    weights = 6.6e9  # of the matrices of Llama 2 7B
    least = 2 * weights * 3 * told.trained / (0.5 * GPUS["t4"].tflops * 1e12) / 3600
    assert t4["qlora"].hours[0] == pytest.approx(least, rel=0.1)


def test_the_command_prints_a_table_and_a_way_out_where_no_card_suffices(mails, capsys):
    assert main(["plan", str(mails), "--model", "llama-3.1-70b", "--price", "h200=4"]) == 0
    said = capsys.readouterr().out
    assert "H200 141 GB" in said and "€" in said and "T4" not in said
    assert f"tunewise compare {mails} --skip lora" in said
    (command,) = [line.strip() for line in said.splitlines() if line.strip().startswith("tunewise memory")]
    assert memory(command.split()[2:]) == 0  # what it advises can be run


def test_json_holds_what_the_table_says(mails, capsys):
    assert main(["plan", str(mails), "--model", "llama-2-7b", "--batch", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"]["rows"] == len(prepare(mails).train)
    assert {fit["method"] for fit in found["fits"]} == {"qlora", "lora", "full"}
    assert all(fit["rows_at_once"] <= 4 for fit in found["fits"])


def test_a_tokenizer_counts(mails, capsys):
    from tunewise.models.load import model_folder
    from tunewise.models.registry import get

    folder = model_folder(get("smollm2-135m"))
    count = plan.counter(str(folder))
    assert count("not stated") == 2
    assert main(["plan", str(mails), "--model", "llama-2-7b", "--tokenizer", str(folder)]) == 0
    assert f"by the tokenizer {folder}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "lama-2-7b"], "did you mean meta-llama/Llama-2-7b-hf"),
        (["--model", "llama-2-7b", "--price", "t4"], "write it as GPU=EURO"),
        (["--model", "llama-2-7b", "--price", "t4=-1"], "write it as GPU=EURO"),
        (["--model", "llama-2-7b", "--price", "t40=1"], "no GPU is known as 't40'"),
        (["--model", "llama-2-7b", "--epochs", "0"], "--epochs must be 1 or more"),
        (["--model", "llama-2-7b", "--seq", "8"], "would cut every row"),
        (["--model", "llama-2-7b", "--tokenizer", "./nowhere"], "--tokenizer ./nowhere can't be had"),
        (["--model", "llama-2-7b", "--label", "kind"], "kind"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(mails, capsys, words, said):
    assert main(["plan", str(mails), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tunewise plan: ") and said in error and "Traceback" not in error
