"""The tokenizer read from a GGUF file's own fields: the file is made here, so that what should come out is known."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGUFWriter

from tunewise.models.gguf_tokenizer import read_tokenizer

TOKENS = ["<|endoftext|>", "<|im_end|>", *"abcĠ12,", "ab", "Ġab", "<tool>"]


def written(path, rule: str):
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, *[1] * (len(TOKENS) - 3), 4])
    writer.add_token_merges(["a b", "Ġ ab"])
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{{ messages[0].content }}")
    writer.add_tensor("none", np.zeros(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("rule", ["smollm", "qwen2"])
def test_as_the_file_says_whatever_the_version_of_transformers(tmp_path, rule):
    tokenizer = read_tokenizer(written(tmp_path / "a.gguf", rule))
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab ab12<tool>,<|im_end|>")["input_ids"]) == (
        ["ab", "Ġab", "1", "2", "<tool>", ",", "<|im_end|>"]
    )  # nothing put before it, digits apart, merges used, special tokens known
    assert (tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token) == (
        "<|im_end|>",
        "<|endoftext|>",
        None,
    )
    ids = tokenizer("ab , a<tool><|im_end|>")["input_ids"]
    assert tokenizer.decode(ids) == "ab , a<tool><|im_end|>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ab , a<tool>"  # user-defined, not special
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"


def test_a_rule_that_is_not_known_is_named(tmp_path):
    with pytest.raises(ValueError, match="rule 'other', which is not known"):
        read_tokenizer(written(tmp_path / "a.gguf", "other"))
