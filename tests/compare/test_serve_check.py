"""A winner that is served: merged, as GGUF, asked by its server whether it is what was evaluated."""

import argparse
import dataclasses
import json

import made_up
import numpy as np
import pytest
import torch
from small_model import small
from stand_in import said, serving

from tunewise import finetune, scoring
from tunewise.compare import export_command, gguf_adapter, serve_check_command
from tunewise.compare.artefact import Artefact
from tunewise.compare.base import Settings
from tunewise.compare.winner import write_winner
from tunewise.generation import generate


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model of random weights in a folder, as a user's own."""
    lm, folder = small(), tmp_path_factory.mktemp("base")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    lm.folder = folder
    return lm


def winner(tmp_path, made, tuned=None):
    own = made_up.data(30)
    predictions = [f"answer {i % 3}" for i in range(30)]
    artefact = made.save(tmp_path / "arm", tuned=tuned)
    arm = made_up.drawn("lora", 0.9, own, artefact=artefact)
    arm = dataclasses.replace(arm, predictions=predictions if made.how == "write" else arm.predictions)
    report = made_up.report(own=own, settings=Settings(output=tmp_path / "report.html"))
    decision = dataclasses.replace(report.decision, winner="lora")
    return write_winner(dataclasses.replace(report, arms=[arm], decision=decision)), arm


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """The folder of a winner with an adapter, and what its model scores."""
    tuned = finetune.finetune(
        base, [(" a", " b c"), (" d", " e")], finetune.Recipe(learning_rate=0.05), prefix="Text:"
    )
    made = Artefact(
        "score", made_up.LABELS, model=str(base.folder), before="Text:", after=":", answers=[" a", " b", " c"]
    )
    folder, _ = winner(tmp_path_factory.mktemp("won"), made, tuned)
    scores = scoring.label_logprobs(tuned, "Text:", [" one", " two"], [" b c", " e"])
    base.model = finetune.restore(tuned)
    return folder, scores


def test_what_is_merged_scores_as_base_and_adapter_did(adapted, base, tmp_path):
    from tunewise.models.load import load

    folder, scores = adapted
    lines = export_command.export(folder, tmp_path / "merged")
    again = scoring.label_logprobs(load(str(tmp_path / "merged")), "Text:", [" one", " two"], [" b c", " e"])
    assert np.allclose(again, scores, atol=1e-4)
    assert (
        np.abs(scoring.label_logprobs(base, "Text:", [" one", " two"], [" b c", " e"]) - scores).max() > 0.1
    )
    assert float(lines[0].split(" by ")[1].split()[0]) < 1e-4
    vllm = next(line for line in lines if line.startswith("vllm"))
    assert f"--lora-modules mine={folder}" in vllm and "--max-lora-rank 8" in vllm
    with pytest.raises(ValueError, match="is not empty: give another folder"):
        export_command.export(folder, tmp_path / "merged")


def test_a_gguf_adapter_added_in_llama_cpps_order_is_the_same_as_merging_first(adapted, base, tmp_path):
    """transformers undoes llama.cpp's order when it reads a GGUF file: of the adapter's product it must give PEFT's."""
    import gguf
    from safetensors.torch import load_file
    from transformers.modeling_gguf_pytorch_utils import LlamaTensorProcessor

    folder, _ = adapted
    export_command.export(folder, gguf=tmp_path / "adapter.gguf")
    reader = gguf.GGUFReader(tmp_path / "adapter.gguf")
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["adapter.type"].contents() == "lora"
    assert reader.fields["adapter.lora.alpha"].contents() == 16
    held = {tensor.name: torch.tensor(tensor.data) for tensor in reader.tensors}
    peft = load_file(folder / "adapter_model.safetensors")
    back = LlamaTensorProcessor(base.model.config.to_dict())
    places = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_output": "self_attn.o_proj"}
    for block in range(2):
        for theirs, ours in (places | {"ffn_down": "mlp.down_proj"}).items():
            name, module = f"blk.{block}.{theirs}.weight", f"base_model.model.model.layers.{block}.{ours}"
            product = (held[name + ".lora_b"] @ held[name + ".lora_a"]).numpy()
            wanted = peft[module + ".lora_B.weight"] @ peft[module + ".lora_A.weight"]
            assert np.allclose(back.process(product, name).weights, wanted, atol=1e-6), name
    assert len(held) == len(peft)


def test_an_architecture_that_is_not_known_is_named(adapted, tmp_path):
    with pytest.raises(ValueError, match="adapters of phi models are not written here.*convert_lora_to_gguf"):
        gguf_adapter.write_gguf_adapter(adapted[0], {"model_type": "phi"}, tmp_path / "a.gguf")


@pytest.mark.parametrize("options", [{"merge": "m"}, {"gguf": "g"}])
def test_what_has_no_adapter_is_not_exported(tmp_path, options):
    folder, _ = winner(tmp_path, Artefact("classifier", made_up.LABELS))
    with pytest.raises(ValueError, match="holds no adapter: what won is used by its predict.py"):
        export_command.export(folder, **{name: tmp_path / path for name, path in options.items()})
    with pytest.raises(ValueError, match="holds no winner: give the report of tunewise compare"):
        export_command.export(tmp_path)


def test_what_won_is_found_by_its_report_as_by_its_folder(tmp_path):
    folder, _ = winner(tmp_path, Artefact("classifier", made_up.LABELS))
    lines = export_command.export(tmp_path / "report.html")
    assert lines == export_command.export(folder) and str(folder / "predict.py") in lines[0]


def checked(url, report, capsys, model=None):
    status = serve_check_command.main(argparse.Namespace(url=url, model=model, report=report, need=0.98))
    return status, "".join(capsys.readouterr())


def test_a_served_model_that_is_the_evaluated_one_agrees(base, tmp_path, capsys):
    """The server gets the very token ids that were evaluated."""
    made = Artefact(
        "write",
        model=str(base.folder),
        before="Text:",
        after="\nAnswer:",
        max_new_tokens=4,
        stop="\n",
        keep_lines=True,
    )
    folder, _ = winner(tmp_path, made)
    rows = [json.loads(line) for line in (folder / "evaluated.jsonl").read_text().splitlines()]
    for row in rows[:2]:
        row["text"] += " <|im_end|>"
    prompts = [
        "Text: " + row["text"].replace("<|im_end|>", "\ufdd0<|im_end|>\ufdd1") + "\nAnswer:" for row in rows
    ]
    written = generate(base, prompts, max_new_tokens=4)
    rows = [row | {"prediction": text.strip()} for row, text in zip(rows, written, strict=True)]
    (folder / "evaluated.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def served(number, body):
        ids = torch.tensor([body["prompt"]])
        out = base.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False
        )
        return said(base.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))

    with serving(served) as (url, came):
        status, told = checked(url, tmp_path / "report.json", capsys)
    assert status == 0 and "30 of 30 answers agree (100.0%, 95% interval" in told
    assert "stop" not in came[0][2] and came[0][2]["max_tokens"] == 4


def test_another_model_is_noticed_with_the_rows_that_differ(base, tmp_path, capsys):
    made = Artefact(
        "score",
        made_up.LABELS,
        model=str(base.folder),
        answers=[" billing", " delivery", " other"],
        bias=[0.1, 0, 0],
    )
    folder, arm = winner(tmp_path, made)
    with serving(lambda number, body: said(" billing\x1b[2J")) as (url, _):
        status, told = checked(url, folder, capsys)
    right = arm.predictions.count("billing")
    first = next(i for i, p in enumerate(arm.predictions) if p != "billing")
    assert status == 1 and f"the server does not answer as the evaluated model did: {right} of 30" in told
    assert "At least 98.0% have to agree (--need). Look whether the server has this base model" in told
    assert f"row {first + 2}: evaluated '{arm.predictions[first]}', served 'billing'" in told
    assert "calibrated the labels, which no server does" in told and "\x1b" not in told


def test_a_server_without_token_ids_gets_the_text(base, tmp_path, capsys):
    made = Artefact(
        "score", made_up.LABELS, model=str(base.folder), before="Text:", answers=[" a", " b", " c"]
    )
    folder, _ = winner(tmp_path, made)

    def texts_only(number, body):
        return said(" a") if isinstance(body["prompt"], str) else (422, {"error": {"message": "a string"}})

    with serving(texts_only) as (url, came):
        _, told = checked(url, folder, capsys)
    assert came[-1][2]["prompt"].startswith("Text: my") and "takes no token ids" in told


def test_what_an_endpoint_wrote_is_read_as_it_was_in_the_evaluation(tmp_path, capsys):
    """Also where the label comes late, or first and another after it."""
    made = Artefact("endpoint", made_up.LABELS, model="one", max_new_tokens=20)
    folder, arm = winner(tmp_path, made)
    items = made_up.data(30).test
    sentences = {"billing": "Billing, surely.", "delivery": "I say delivery", "other": "otherwise: other"}
    written = {i.text: sentences[p] for i, p in zip(items, arm.predictions, strict=True)}
    written[items[0].text] = "billing or delivery?"  # names two, and so none
    rows = [json.loads(line) for line in (folder / "evaluated.jsonl").read_text().splitlines()]
    rows[0]["prediction"] = ""
    (folder / "evaluated.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(lambda number, body: said(written[body["messages"][-1]["content"]])) as (url, _):
        status, told = checked(url, folder, capsys)
    assert status == 0 and "30 of 30 answers agree" in told


def test_a_check_that_breaks_off_does_not_say_that_answers_are_kept(tmp_path, capsys):
    folder, _ = winner(tmp_path, Artefact("endpoint", made_up.LABELS, model="one", max_new_tokens=20))
    wait = (429, {}, {"retry-after": "3600"})
    with serving(lambda number, body: said("other") if number < 3 else wait) as (url, _):
        status, told = checked(url, folder, capsys)
    assert status == 2 and "asks to wait 3600 s" in told and "kept" not in told


def test_a_folder_without_what_was_evaluated_says_which_file_is_missing(tmp_path, capsys):
    folder, _ = winner(tmp_path / "a", Artefact("endpoint", made_up.LABELS, model="one", max_new_tokens=20))
    (folder / "evaluated.jsonl").unlink()
    status, told = checked("http://127.0.0.1:9/v1", folder, capsys)
    assert status == 2 and "evaluated.jsonl is missing" in told and "run tunewise compare again" in told
    folder, _ = winner(tmp_path / "b", Artefact("classifier", made_up.LABELS))
    status, told = checked("http://127.0.0.1:9/v1", folder, capsys)
    assert status == 2 and "needs no model server" in told


def test_what_cannot_be_checked_is_one_sentence(tmp_path, capsys):
    status, told = checked("http://127.0.0.1:9/v1", tmp_path / "report.json", capsys)
    assert status == 2 and "holds no winner that can be served" in told
    status, told = checked("nonsense", tmp_path, capsys)
    assert status == 2 and "no address of a server" in told
