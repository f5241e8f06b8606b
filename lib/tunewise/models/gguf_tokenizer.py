"""The tokenizer that a GGUF file describes.

Read here from the file's own fields, because transformers' reading of them differs between its versions: 5.0 to 5.4 put a token
before each text and name another end of text, 5.5 to 5.12 take another model's vocabulary.
"""

from pathlib import Path
from typing import Any

# tokenizer.ggml.token_type
_CONTROL, _USER_DEFINED = 3, 4
# Qwen2's own splitting of a text (tokenizer.ggml.pre = qwen2; the expression is llama.cpp's, and the model's own).
_QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def read_tokenizer(path: Path) -> Any:
    """The tokenizer of a GGUF file, with its special tokens and chat template.

    Parameters
    ----------
    path
        A GGUF file with a byte-level BPE vocabulary (``tokenizer.ggml.model`` is ``gpt2``).

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Adds no token of its own to a text.

    Raises
    ------
    ValueError
        For a file whose way of splitting a text is not known here.
    """
    from gguf import GGUFReader
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fields = GGUFReader(path).fields

    def field(name: str) -> Any:
        found = fields.get(f"tokenizer.{name}")
        return None if found is None else found.contents()

    tokens, rule = field("ggml.tokens"), field("ggml.pre")
    merges = [tuple(merge.split(" ")) for merge in field("ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    if rule == "smollm":  # each digit apart; a beginning has no space added
        digits = pre_tokenizers.Digits(individual_digits=True)
        split = [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    elif rule == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        words = pre_tokenizers.Split(Regex(_QWEN2), "isolated")
        split = [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        raise ValueError(f"{path.name} splits texts by the rule {rule!r}, which is not known here")
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Sequence(split), decoders.ByteLevel()
    kinds = field("ggml.token_type")
    for token, kind in zip(tokens, kinds, strict=True):
        if kind in (_CONTROL, _USER_DEFINED):
            tokenizer.add_tokens([AddedToken(token, special=kind == _CONTROL, normalized=False)])
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    numbers = {name: field(f"ggml.{key}_token_id") for name, key in keys.items()}
    special = {f"{name}_token": tokens[n] for name, n in numbers.items() if n is not None}
    options: dict[str, Any] = {"chat_template": field("chat_template"), "clean_up_tokenization_spaces": False}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options, **special)
