"""Constrained decoding: at each step only those tokens may be chosen that a grammar can still use.

The grammar is followed by llguidance, which says for each state which tokens are allowed; the model chooses among these. What has been written is then
of the form up to the last token. Whether it is *finished* is another matter: a text that is cut at the limit of tokens is no whole record, so
strings should be bounded.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

MAX_CHARS = 80  # of a value, so that each record comes to an end
# What no value of a line may hold: quotes, backslashes, and what YAML calls a line break or not printable.
_NEVER = r'"\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff'


def json_grammar(schema: Mapping) -> str:
    """llguidance's grammar for JSON by a JSON Schema; strings without a bound get one. Laid out with or without line breaks."""
    from llguidance import LLMatcher

    bounded, fields = {"maxLength": MAX_CHARS}, {}
    for name, spec in schema["properties"].items():
        fields[name] = spec if "pattern" in spec else bounded | spec
    whole = json.dumps({**schema, "properties": fields})
    return LLMatcher.grammar_from_json_schema(whole, overrides={"whitespace_pattern": r"[ \n]{1,3}"})


def line_grammar(schema: Mapping, line: str, quoted: bool) -> str:
    """llguidance's grammar for one line a field, in the order of the schema, as one regular expression.

    line: how a line begins, with ``{field}`` in it, such as ``"- **{field}**: "``. quoted: whether values stand in double quotes. Fields that the
    schema does not require may be left out; the first must be required.
    """
    from llguidance import LLMatcher

    lines = []
    for i, (field, spec) in enumerate(schema["properties"].items()):
        inner = spec.get("pattern", "").removeprefix("^").removesuffix("$")
        if not inner:
            least = spec.get("minLength", 1)
            middle = f"[^{_NEVER}]{{{max(0, least - 2)},{MAX_CHARS - 2}}}"
            inner = rf"[^\s{_NEVER}]({middle}[^\s{_NEVER}])" + ("?" if least < 2 else "")
        start = ("\n" if i else "") + re.escape(line.format(field=field)).replace(r"\ ", " ")
        whole = start + (f'"{inner}"' if quoted else inner)
        if field not in schema["required"] and not i:
            raise ValueError(f"the first field, {field}, must be required: a line break begins every other")
        lines.append(whole if field in schema["required"] else f"({whole})?")
    return LLMatcher.grammar_from_regex("".join(lines))


@lru_cache(maxsize=2)
def _vocabulary(tokenizer: Any, n_vocab: int) -> Any:
    """The tokenizer as llguidance wants it (about a second)."""
    from llguidance.hf import from_tokenizer

    return from_tokenizer(tokenizer, n_vocab=n_vocab)


class Keeper:
    """A logits processor for ``transformers``' greedy or sampled generation (not for beams, whose rows change places).

    It gives each token that the grammar does not allow next a logit of minus infinity. Raises ValueError for a grammar that llguidance
    can't read.
    """

    def __init__(self, tokenizer: Any, n_vocab: int, grammar: str, rows: int) -> None:
        from llguidance import LLMatcher

        matcher = LLMatcher(_vocabulary(tokenizer, n_vocab), grammar)
        if matcher.is_error():
            raise ValueError(f"llguidance cannot read the grammar: {matcher.get_error()}")
        self.matchers = [matcher, *(matcher.deep_copy() for _ in range(rows - 1))]
        self.eos, self.begun = tokenizer.eos_token_id, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """input_ids: long [rows, tokens so far]. scores: [rows, vocabulary]."""
        if self.begun:
            for matcher, token in zip(self.matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self.begun = True
        allowed = torch.from_numpy(np.stack([self._allowed(m, scores.shape[1]) for m in self.matchers]))
        return scores.masked_fill(~allowed.to(scores.device), -torch.inf)

    def _allowed(self, matcher: Any, n_vocab: int) -> np.ndarray:
        """Boolean [vocabulary]; the end of text alone once the grammar has come to its end."""
        if matcher.is_stopped():
            return np.arange(n_vocab) == self.eos
        found = np.frombuffer(matcher.compute_logit_bias(), dtype=np.uint8)[:n_vocab] > 0
        return np.pad(found, (0, n_vocab - len(found)))


@contextlib.contextmanager
def constrained_to(lm: Any, grammar: str) -> Iterator[Any]:
    """For the length of a ``with`` block, all that ``lm`` generates keeps to ``grammar``.

    lm: a loaded or tuned model (``.model``, ``.tokenizer``). Greedy or sampled generation only.
    """
    model, plain = lm.model, lm.model.generate

    def generate(*args: Any, input_ids: torch.Tensor, **options: Any) -> Any:
        keeper = Keeper(lm.tokenizer, model.config.vocab_size, grammar, len(input_ids))
        return plain(*args, input_ids=input_ids, logits_processor=[keeper], **options)

    model.generate = generate
    try:
        yield lm
    finally:
        del model.generate
