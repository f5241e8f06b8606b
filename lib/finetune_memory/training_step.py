"""One training step on the tape: the blocks of a transformer written as ``transformers`` writes them, operator by operator.

All blocks of a model are alike (up to a sliding window), so one of each kind is run, forward and backward, and the
others take the same: :func:`run` gives what each stretch of the step adds to what was there before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from finetune_memory.settings import BYTES, Settings
from finetune_memory.shape import Linear
from finetune_memory.tape import GRADIENT, INPUT, LOSS, TEMPORARY, Block, Parameter, Tape, Value, rounded

Kinds = tuple[int, ...]  # bytes of each kind of block


@dataclass
class Stretch:
    """What a stretch of the step takes beyond what was there before it.

    forward: at its highest on the way there, by kind of block (see :mod:`finetune_memory.tape`). kept: what stays for the backward
    pass. backward: at its highest on the way back, with what was kept. gradients: of parameters, which stay afterwards.
    keeps_input: whether the input is among what is kept.
    cached: autocast's 16-bit copies of weights, which go when the loss is there, unless they are kept.
    cache: keys and values that the model returns. graph: part of what is kept that lives as long as the graph.
    """

    forward: Kinds
    kept: int = 0
    backward: Kinds = (0, 0, 0, 0)
    gradients: int = 0
    keeps_input: bool = False
    cached: int = 0
    cache: int = 0
    graph: int = 0


@dataclass
class Step:
    """The stretches of a step: embedding, the first block, blocks by kind, final norm, head with loss.

    common: what the whole forward and backward pass has beside (rotary angles, labels; masks if they are needed again).
    masks: those that go when the forward pass is through. local: these, and what the model's forward holds on to beside the
    blocks' input: the embedding's output. leaf: that output and its gradient where it was made to require one (checkpointing
    with frozen embeddings); they live as long as the loss. logits: what is returned and held.
    """

    embedding: Stretch
    first: Stretch
    blocks: list[Stretch]
    norm: Stretch
    loss: Stretch
    common: int
    masks: int
    local: int
    leaf: int
    logits: int


def kernel(s: Settings) -> str:
    """The attention kernel: "eager", which alone has a soft cap on the scores, else that of :func:`fused_kernel`, which is asked also
    where "flash" is wished but not possible. With a mask, transformers repeats the keys to as many heads as the queries have."""
    if s.attention == "eager" or s.shape.softcap_scores:
        return "eager"
    half, full = small_bytes(s) == 2 or s.master_weights, s.rows == "full"
    if half and s.attention == "flash" and full:
        return "flash"
    dtype = s.dtype if half else "fp32"
    grouped = full and s.shape.kv_heads < s.shape.heads
    return fused_kernel(dtype, s.shape.head_dim, grouped, not full, s.arch, s.version("torch"))


def fused_kernel(
    dtype: str, head_dim: int, grouped: bool, masked: bool, arch: int, torch: tuple[int, ...]
) -> str:
    """The kernel that PyTorch's scaled_dot_product_attention picks when all are allowed (native/transformers/cuda/sdp_utils.cpp).

    "flash" takes 16-bit numbers without a mask on Ampere (``arch`` 80) and newer; cuDNN's kernel, which newer versions prefer on Hopper,
    keeps what flash keeps. "efficient" takes no bf16 before Ampere, and fewer key than query heads (``grouped``) from PyTorch 2.14 on
    (pull request 191085). "math", for all else, makes the whole matrix of scores.
    """
    if dtype != "fp32" and arch >= 80 and not masked and head_dim <= 256:
        return "flash"
    if dtype == "bf16" and arch < 80:
        return "math"
    return "math" if grouped and torch < (2, 14) else "efficient"


def small_bytes(s: Settings) -> int:
    """Bytes an element of weights outside the quantised ones (embedding, head, norms, biases), and so of the stream between
    blocks."""
    wide = s.kbit_preparation if s.method == "qlora" else s.master_weights
    return 4 if wide else BYTES[s.dtype]


class _Program:
    """Runs stretches of the model on a tape."""

    def __init__(self, s: Settings, update: Callable[[int], int] | None):
        self.s, self.shape = s, s.shape
        self.tape = Tape(BYTES[s.dtype] if s.master_weights else None, update)
        self.tokens, self.kernel, self.e = s.batch * s.seq, kernel(s), small_bytes(s)
        shape, adapted = s.shape, () if s.method == "full" else s.shape.targets(s.targets)
        # weight, bias and, where it is adapted, LoRA's two matrices of each linear layer
        self.parameters: dict[int, tuple[Parameter, Parameter | None, list[Parameter]]] = {}
        for linear in (*shape.linears, shape.head):
            bias = self.parameter(linear.outputs) if linear.bias else None
            widths = (linear.inputs, linear.outputs) if linear in adapted else ()
            lora = [Parameter(s.rank * width, BYTES[s.adapter_dtype], True) for width in widths]
            self.parameters[id(linear)] = self.parameter(linear.weights), bias, lora
        self.norm_weight, self.head_norm = self.parameter(shape.hidden), self.parameter(shape.head_dim)
        self.norm_bias = self.parameter(shape.hidden) if shape.norm_bias else None
        self.angles = Value(None, s.seq * shape.head_dim, self.e)
        # whether rotation ends in a concatenation, so that query and key lie head by head and products need no copy of them
        self.joined = shape.layout in ("phi3", "neox") or shape.family in ("phi", "stablelm")
        self.cache: list[Block] = []  # keys and values that the model returns

    def parameter(self, n: int) -> Parameter:
        """A parameter of the base model, of ``n`` elements."""
        return Parameter(n, self.e, self.s.method == "full")

    # --- modules -----------------------------------------------------------------------------------------------

    def linear(self, x: Value, linear: Linear) -> Value:
        """A linear layer, with its LoRA adapter if it has one (peft/tuners/lora/layer.py and bnb.py, ``forward``)."""
        t, s = self.tape, self.s
        given = x  # noqa: F841  (a module's call holds on to its argument)
        weight, bias, lora = self.parameters[id(linear)]
        four_bit = s.method == "qlora" and linear is not self.shape.head
        if four_bit:
            scales = -(-linear.weights // 64) if s.double_quant else 0
            keeps = s.version("bitsandbytes") < (0, 43, 2)
            y = t.linear_4bit(x, linear.inputs, linear.outputs, BYTES[s.dtype], scales, keeps)
        else:
            y = t.linear(x, weight, linear.outputs, bias)
        if not lora:
            return y
        (a, b), e = lora, y.e
        if four_bit:
            y = t.copy(y)
        x = t.cast(x, a.e)
        out = t.plain(t.linear(t.linear(t.dropout(x) if s.lora_dropout else x, a, s.rank), b, linear.outputs))
        if four_bit:
            out = t.cast(out, e)
        y = t.add(y, out)
        del out
        return t.cast(y, e)

    def norm(self, x: Value, weight: Parameter, bias: Parameter | None = None) -> Value:
        """Over rows of as many elements as the weight has."""
        t, rows, kind = self.tape, x.n // weight.n, self.shape.norm
        if kind == "layer":
            return t.layer_norm(x, rows, weight, bias)
        e = x.e
        if kind == "plain":
            return t.cast(t.layer_norm(t.cast(x, 4), rows, None, None), e)
        if kind == "gemma":
            out = self._scaled_by_root(t.cast(x, 4), rows)
            out = t.multiply(out, weight)
            return t.cast(out, e)
        x = t.cast(x, 4)
        x = self._scaled_by_root(x, rows)
        return t.cast(t.multiply(weight, x), e) if kind == "rms32" else t.multiply(weight, t.cast(x, e))

    def _scaled_by_root(self, x: Value, rows: int) -> Value:
        return self.tape.multiply(x, self.tape.inverse_root_mean_square(x, rows))

    def hidden_norm(self, x: Value) -> Value:
        return self.norm(x, self.norm_weight, self.norm_bias)

    def activation(self, x: Value) -> Value:
        t, kind = self.tape, self.shape.activation
        if kind == "gelu_new":  # 0.5 * x * (1 + tanh(c * (x + 0.044715 * x**3)))
            half = t.plain(x)
            tanh = t.copy(t.unary(t.plain(t.add(x, t.plain(t.power(x)))), keeps_result=True))
            return t.multiply(half, tanh)
        return t.unary(x, keeps_result=kind == "relu")

    def mlp(self, x: Value) -> Value:
        t, shape = self.tape, self.shape
        first, *second, down = shape.mlp_linears
        if second:
            x = t.multiply(self.activation(self.linear(x, first)), self.linear(x, second[0]))
        elif shape.gated:
            x = self.linear(x, first)
            gate, x = t.parts(x, (x.n // 2, x.n // 2))
            x = t.multiply(x, self.activation(gate))
        else:
            x = self.linear(x, first)
            x = self.activation(x)
        return self.linear(x, down)

    def attention(self, x: Value, window: int, rotated: bool) -> tuple[Value, Value | None]:
        """Projections, rotation, the kernel, the output projection; also the attention weights where the code holds on to them."""
        t, shape = self.tape, self.shape
        q, k, v = self._projections(x)
        if rotated:
            if shape.family in ("phi", "stablelm"):  # their code holds on to what there is before and after
                held = (q, k, [t.new(int(x.n * shape.rotary), max(x.e, self.e)) for x in (q, k)])  # noqa: F841
            q, k = (t.rotate(x, self.angles, shape.rotary) for x in (q, k))
        if self.s.use_cache and not self.s.checkpointing:
            k, v = t.copy(k), t.copy(v)
            self.cache += [x.block for x in (k, v) if x.block is not None]
        mask = self.mask(window)
        out, weights = self._eager(q, k, v) if self.kernel == "eager" else (self._fused(q, k, v, mask), None)
        return self.linear(out, shape.attention_linears[-1]), weights

    def _projections(self, x: Value) -> list[Value]:
        t, shape, T = self.tape, self.shape, self.tokens
        q, kv = T * shape.q_width, T * shape.kv_width
        laid_out = self.kernel in ("flash", "efficient")
        expanded = shape.kv_heads < shape.heads and self.kernel != "flash"
        if shape.layout in ("neox", "phi3", "gpt2"):
            both = self.linear(x, shape.attention_linears[0])
            if shape.layout == "neox":
                both = t.view(both, copied_back=True)
            parts = t.parts(both, (q, kv, kv), padded=shape.layout == "phi3")
            if shape.layout == "gpt2" and not laid_out:
                parts = [t.view(part, copied_back=True) for part in parts]
            return parts
        values = []
        for linear in shape.attention_linears[:3]:
            is_value = linear.name == "v_proj"
            y = self.linear(x, linear)
            heads = shape.heads if linear.name == "q_proj" else shape.kv_heads
            if shape.qk_norm == "whole" and not is_value:
                y = self.norm(y, self.parameter(linear.outputs))
            plainly = is_value and laid_out and not expanded
            y = t.view(y, copied_back=heads > 1 and not plainly)
            if shape.qk_norm == "head" and not is_value:
                y = self.norm(y, self.head_norm, None)
            values.append(y)
        return values

    def _eager(self, q: Value, k: Value, v: Value) -> tuple[Value, Value]:
        """``eager_attention_forward``: the scores of every head, with a softmax in fp32; products are taken of contiguous copies."""
        t, shape, s = self.tape, self.shape, self.s
        groups = shape.heads // shape.kv_heads
        scores = s.batch * shape.heads * s.seq * s.seq
        dtype = q.e
        if t.autocast:
            q, k, v = (t.cast(x, t.autocast) for x in (q, k, v))
        k2 = t.plain(k, groups) if groups > 1 else k if self.joined else t.copy(k)
        v2 = t.plain(v, groups) if groups > 1 else t.copy(v)
        weights = t.plain(t.matmul(q if self.joined else t.copy(q), k2, scores))
        if shape.softcap_scores:
            weights = t.plain(weights)
            weights = t.unary(weights, keeps_result=True)
            weights = t.plain(weights)
        # the mask, of the model's dtype, is added
        weights = t.copy(weights) if weights.e == self.e else t.cast(weights, self.e)
        if shape.layout == "gpt2":
            weights = t.cast(t.softmax(t.cast(weights, 4) if t.autocast else weights), v.e)
        elif weights.e == 2 and s.dtype == "fp16":
            weights = t.cast(t.softmax(weights, 4), dtype)
        else:
            weights = t.cast(t.softmax(t.cast(weights, 4)), dtype)
        return t.copy(t.matmul(t.cast(weights, v2.e), v2, q.n)), weights

    def mask(self, window: int) -> Value | None:
        """A mask for scaled_dot_product_attention, made additive in each block, where rows or a window need one."""
        if self.kernel == "eager" or not self.needs_mask(window):
            return None
        t, n = self.tape, self.s.batch * self.s.seq * self.s.seq
        inverse = t.new(n, 1)  # noqa: F841  (is there while the mask is made)
        return Value(t.new(n, t.autocast or self.e), n, self.e)

    def needs_mask(self, window: int) -> bool:
        return self.s.rows != "full" or 0 < window < self.s.seq

    def _fused(self, q: Value, k: Value, v: Value, mask: Value | None) -> Value:
        """A fused kernel: keeps query, key, value, its output and one number a head and token."""
        t, shape, s = self.tape, self.shape, self.s
        use = self.kernel
        if use == "flash" and mask is not None:
            use = "efficient"
        groups, heads, d = shape.heads // shape.kv_heads, shape.heads, shape.head_dim
        if t.autocast:
            q, k, v = (t.cast(x, t.autocast) for x in (q, k, v))
        if use != "flash" and groups > 1:
            k, v = t.plain(k, groups), t.plain(v, groups)
        if use == "math":
            return self._math(q, k, v, mask)
        e, grad, qn, kn, b, n = q.e, q.grad or k.grad or v.grad, q.n, k.n, s.batch, s.seq
        out = t.new(qn, e)
        if not grad:
            return Value(out, qn, e)
        sums = t.new(b * heads * (n if use == "flash" else rounded(n, 32)), 4)

        held = (q.block, k.block, v.block, out, sums, mask and mask.block)

        def run(g: Block, kept: object = held) -> tuple[Block, ...]:
            grads = t.new(qn, e), t.new(kn, e), t.new(kn, e)
            scratch = flash() if use == "flash" else efficient()  # noqa: F841
            return grads

        def flash() -> list[Block]:
            rows, columns = rounded(n, 128), rounded(d, 32 if d <= 128 else 64)
            expanded = [b * n * heads * d] * 2 if groups > 1 else []
            wide = [t.new(size, 4) for size in (b * heads * rows, b * rows * heads * columns)]
            return wide + [t.new(size, e) for size in expanded]

        def efficient() -> list[Block]:
            product = t.new(qn, 4) if e == 4 else None
            delta = t.new(b * heads * n, 4)
            del product
            tile = 64 * rounded(d, 64 if d > 32 else 32) + 4
            return [delta, t.new(b * heads * -(-n // 64) * tile, 4)]

        return Value(out, qn, e, True, t.record((q.node, k.node, v.node), run, True))

    def _math(self, q: Value, k: Value, v: Value, mask: Value | None) -> Value:
        """``_scaled_dot_product_attention_math``: 16-bit inputs are computed in fp32, scores and all."""
        t, s = self.tape, self.s
        scores = s.batch * self.shape.heads * s.seq * s.seq
        e = q.e
        bias = t.new(s.seq * s.seq, 4)
        q, k, v = (t.cast(x, 4) for x in (q, k, v))
        q = t.plain(q)
        apart, alone = not self.joined, self.shape.kv_heads == self.shape.heads
        k = t.plain(k)
        weights = t.matmul(t.copy(q) if apart else q, t.copy(k) if apart and alone else k, scores)
        weights = t.softmax(weights)
        del bias
        return t.cast(t.matmul(weights, t.copy(v) if alone else v, q.n), e)

    def block(self, x: Value, window: int, rotated: bool) -> Value:
        """One decoder layer."""
        t, shape = self.tape, self.shape
        norms = shape.norms
        if norms in ("parallel", "shared"):
            h = self.hidden_norm(x)
            a, weights = self.attention(h, window, rotated)
            if shape.dropout and shape.family != "stablelm":
                a = t.dropout(a)
            if norms == "parallel":
                del h
                h = self.hidden_norm(x)
            m = self.mlp(h)
            if shape.dropout:
                m = t.dropout(m)
            if norms == "shared":
                return t.add(t.add(a, m), x)
            return t.add(t.add(m, a), x)
        weights = None
        for part in ("attention", "mlp"):
            residual = x
            if norms != "post":
                x = self.hidden_norm(x)
            if part == "attention":
                x, weights = self.attention(x, window, rotated)
            else:
                x = self.mlp(x)
            if shape.dropout and (part == "mlp" or shape.family in ("gpt2", "phi3", "starcoder2")):
                x = t.dropout(x)
            if norms in ("post", "both"):
                x = self.hidden_norm(x)
            if shape.scaled_residual:
                x = t.plain(x)
            x = t.add(residual, x)
        return x

    def common(self) -> int:
        """What lives through forward and backward pass beside the blocks' own: token numbers, labels, positions, rotary
        angles, masks."""
        s, shape = self.s, self.shape
        size = 2 * rounded(8 * self.tokens) + rounded(8 * s.seq)
        if shape.rotary:
            tables = 2 if shape.family == "gemma3_text" else 1
            size += tables * 2 * rounded(int(s.seq * shape.head_dim * shape.rotary) * self.e)
        return size

    def masks(self) -> int:
        """Attention masks that the model's forward makes: one a kind of block for eager attention (added numbers), a bool one for
        SDPA where it is needed."""
        s, windows = self.s, {window for window, _ in self.shape.kinds}
        square = s.batch * s.seq * s.seq
        if s.rows != "full":
            windows = {0}
        if self.kernel == "eager":
            return rounded(square * self.e) * len(windows)
        return rounded(square) * sum(self.needs_mask(window) for window in windows)

    def embedding(self) -> Stretch:
        """Token (and position) embedding. Its output is counted with the first block. Backward, in full fine-tuning:
        ``embedding_dense_backward`` makes a whole gradient; beyond 3072 tokens these are sorted, and partial sums are kept in
        fp32 (aten/src/ATen/native/cuda/EmbeddingBackwardKernel.cu), at most one for each 10 tokens and each distinct one."""
        s, shape, n = self.s, self.shape, self.tokens * self.shape.hidden
        out = rounded(n * self.e)
        forward = out * (1 + (shape.scaled_embedding or shape.positions > 0 or shape.embed_dropout > 0))
        if s.method != "full":
            return Stretch((forward, 0, 0, 0))
        mask = rounded(n) if shape.embed_dropout else 0
        table = rounded(shape.vocab * shape.hidden * self.e)
        kept = whole = table + rounded(shape.positions * shape.hidden * self.e)
        scratch = 0
        if self.tokens > 3072:
            distinct = min(self.tokens, shape.vocab)
            partial = self.tokens // 10 + distinct
            scratch = 2 * rounded(8 * self.tokens) + 2 * rounded(8 * distinct)
            scratch += rounded(8 * partial) + rounded(4 * partial * shape.hidden)
        if self.tape.update and not shape.tied:  # then the update follows at once
            scratch = max(scratch, self.tape.update(table) - out)
        spread = out * (1 + bool(shape.embed_dropout or shape.scaled_embedding))
        if shape.tied:  # the head's gradient is a view (if it is made in one piece), so that both are summed up in a third tensor
            kept -= table
            whole += 0 if s.loss != "default" or s.master_weights else table
        return Stretch((forward + mask, 0, 0, 0), mask, (spread + scratch, 0, whole, 0), kept)

    # --- stretches ---------------------------------------------------------------------------------------------

    def start(self, needs_gradient: bool) -> Value:
        """The input of a stretch, on a tape with nothing else on it."""
        t, n = self.tape, self.tokens * self.shape.hidden
        t.start()
        t.reset_peak()
        return Value(t.new(n, self.e), n, self.e, needs_gradient, INPUT if needs_gradient else None)

    def run_block(self, window: int, rotated: bool, needs_gradient: bool) -> Stretch:
        """Forward and backward of one block whose input does or does not need a gradient."""
        t, n, e, checkpointed = self.tape, self.tokens * self.shape.hidden, self.e, self.s.checkpointing
        x = self.start(needs_gradient)
        t.recording = not checkpointed
        y = self.block(x, window, rotated)
        forward, node, trains = t.at_peak, y.node, y.grad or checkpointed
        del y
        cached = self._leave_autocast()
        cache = sum(block.size for block in self.cache)
        if self.s.outputs == "dropped":
            self.cache.clear()
        with_input = t.total
        if not checkpointed:
            del x
        kept = t.total
        keeps_input = kept == with_input
        if not trains:
            self.cache.clear()
            t.graph.clear()
            return Stretch(forward, kept, cached=cached, cache=cache)
        t.reset_peak()
        t.recording, t.dry = True, False
        if checkpointed:
            self._checkpointed_backward(x, window, rotated, n, e)
            del x
        else:
            t.backward({node: t.new(n, e)})
        self.cache.clear()
        peak = t.at_peak
        kept_size = min(kept, sum(peak[:2]))
        backward = (peak[0] + peak[1] - kept_size, kept_size, peak[2], peak[3])
        with_graph = t.total
        t.graph.clear()
        graph = with_graph - t.total
        gradients = t.live[GRADIENT]
        t.free()
        return Stretch(forward, kept, backward, gradients, keeps_input, cached, cache, graph)

    def _checkpointed_backward(self, x: Value, window: int, rotated: bool, n: int, e: int) -> None:
        """Backward of a block that was not recorded: its operators run backward from the last; at the first that needs a
        tensor of the forward pass, the block is run again (torch/utils/checkpoint.py, non-reentrant)."""
        t = self.tape
        t.dry = True
        t.casts.clear()
        y = self.block(Value(x.block, n, e, True, INPUT), window, rotated)
        last, needed = y.node, t.keeping
        del y
        t.dry = False
        nodes = t.nodes
        buffers: dict[int | None, Block] = {last: t.new(n, e)}

        def again() -> None:
            first = len(t.graph)
            t.rerun(lambda: self.block(Value(x.block, n, e, True, INPUT), window, rotated), needed)
            del t.graph[first:]
            nodes[: len(t.nodes)] = t.nodes
            t.nodes = nodes

        t.backward(buffers, again)

    def _leave_autocast(self) -> int:
        """Autocast drops its copies of weights. Returns the bytes that this frees."""
        t = self.tape
        before = t.total
        t.casts.clear()
        return before - t.total

    def run_tail(self, needs_gradient: bool) -> tuple[Stretch, Stretch, int]:
        """Final norm, head and loss: (norm, loss, bytes of logits held)."""
        t, s, shape = self.tape, self.s, self.shape
        x = self.start(needs_gradient)
        if shape.tied and s.method == "full":  # updated when the embedding's gradient is there too
            t.update = None
        h = self.hidden_norm(x)
        del x
        forward, boundary = t.at_peak, len(t.nodes)
        t.reset_peak()
        t.kind = LOSS
        of_kind = {"default": self._loss, "chunked": self._chunked_loss, "fused": self._fused_loss}
        logits, losses = of_kind[s.loss](h)
        del h
        if s.outputs == "dropped":
            logits = []
        loss_forward = t.at_peak
        self._leave_autocast()
        t.reset_peak()
        if not losses or not losses[0].grad:
            return Stretch(forward), Stretch(loss_forward), 0
        buffers: dict[int | None, Block] = {loss.node: Block(t, 0, LOSS, False) for loss in losses}
        t.shared = s.loss == "chunked" and s.method == "full" and not shape.head_bias
        t.backward(buffers, until=boundary)
        t.shared = False
        loss = Stretch(loss_forward, backward=t.at_peak)
        t.kind = TEMPORARY
        t.reset_peak()
        del t.nodes[boundary:]
        t.backward(buffers)
        peak, held = t.at_peak, t.live[LOSS]
        norm = Stretch(forward, 0, (peak[0], 0, peak[2], peak[3] - held), t.live[GRADIENT])
        del logits
        t.free()
        return norm, loss, held

    def _logits(self, h: Value) -> Value:
        t, shape = self.tape, self.shape
        logits = self._head_output(h)
        if shape.scaled_logits:
            logits = t.plain(logits)
        return self._soft_cap(logits) if shape.softcap_logits else logits

    def _soft_cap(self, x: Value) -> Value:
        """Divided, through tanh, multiplied."""
        t = self.tape
        x = t.plain(x)
        x = t.unary(x, keeps_result=True)
        return t.plain(x)

    def _cross_entropy(self, logits: Value) -> Value:
        """``cross_entropy`` of fp32 logits: log-softmax keeps its result; going back, the gradient of the picked logits is spread
        over a whole tensor, and log-softmax makes another (aten/src/ATen/native/LossNLL.cpp, SoftMax.cpp)."""
        t, n = self.tape, logits.n
        logits = t.cast(logits, 4) if self.s.loss_fp32 else logits
        e = logits.e
        probabilities = t.new(n, e)

        def run(g: Block, kept: object = probabilities) -> tuple[Block]:
            picked = t.new(n, e)  # noqa: F841
            return (t.new(n, e),)

        return Value(None, 1, 4, logits.grad, t.record((logits.node,), run, True) if logits.grad else None)

    def _loss(self, h: Value) -> tuple[list[Value], list[Value]]:
        """transformers' loss: all logits, a copy in fp32, cross-entropy (loss/loss_utils.py, ForCausalLMLoss). Like the two below:
        logits that are returned, losses that are added up."""
        logits = self._logits(h)
        return [logits], [self._cross_entropy(logits)]

    def _chunked_loss(self, h: Value) -> tuple[list[Value], list[Value]]:
        """Logits in parts, all held; of each part an fp32 copy for its own cross-entropy (torchtune, CEWithChunkedOutputLoss); the head's
        output is taken as it is, without soft cap or scale."""
        t, shape = self.tape, self.shape
        sizes = tuple(self.s.batch * size * shape.hidden for size in _chunks(self.s.seq, self.s.loss_chunks))
        parts = t.parts(h, sizes)
        logits = [self._head_output(part) for part in parts]
        return logits, [self._cross_entropy(part) for part in logits]

    def _head_output(self, h: Value) -> Value:
        logits = self.linear(h, self.shape.head)
        return self.tape.cast(logits, 4) if self.s.logits == "fp32" else logits

    def _fused_loss(self, h: Value) -> tuple[list[Value], list[Value]]:
        """Liger-Kernel's fused linear cross-entropy: of each part of the tokens the logits are made, turned into their gradient
        in place, multiplied back and dropped, all in the forward pass (ops/fused_linear_cross_entropy.py). Under autocast each product
        casts the weight anew, unless it is trained: then the first copy is kept."""
        t, shape, tokens = self.tape, self.shape, self.tokens
        weight, bias, _ = self.parameters[id(shape.head)]
        grad_hidden, e = t.new(h.n, h.e), t.autocast or h.e
        grad_weight = t.new(weight.n, weight.e) if weight.grad else None
        grad_bias = t.new(bias.n, bias.e) if bias is not None and bias.grad else None

        def product(n: int) -> Block:
            cast = t.cast_weight(weight)  # noqa: F841  (is there while the product is made)
            return t.new(n, e)

        for size in _chunks(tokens, self.s.loss_chunks):
            made = [product(size * shape.vocab), product(size * shape.hidden)]
            made += [t.new(weight.n, e)] if weight.grad else []
            del made
        if not (h.grad or weight.grad):
            return [], []
        h_grad = h.grad

        def run(g: Block, kept: Any = (grad_hidden, grad_weight, grad_bias)) -> tuple[Block | None, ...]:
            trained = zip(kept[1:], (weight, bias), strict=True)
            whole = [t.new(p.n, p.e, GRADIENT) if p and block else None for block, p in trained]
            return (kept[0] if h_grad else None, *whole)

        inputs = (h.node, weight.node, None if bias is None else bias.node)
        return [], [Value(None, 1, 4, True, t.record(inputs, run, True))]


def run(s: Settings, update: Callable[[int], int] | None = None) -> Step:
    """The stretches of one step. update: see :class:`~finetune_memory.tape.Tape`."""
    p = _Program(s, update)
    shape, full = s.shape, s.method == "full"
    flows = full or s.checkpointing  # whether the first block's input needs a gradient
    blocks = {kind: p.run_block(*kind, True) for kind in shape.kinds}
    order = shape.kind_of_each
    first = blocks[order[0]] if flows else p.run_block(*order[0], False)
    adapted = full or any(linear in shape.linears for linear in shape.targets(s.targets))
    embedding = p.embedding()
    norm, loss, held = p.run_tail(adapted or s.checkpointing)
    stream = rounded(p.tokens * shape.hidden * p.e)
    # whether the blocks get another tensor than the embedding's output
    separate = shape.positions > 0 or shape.embed_dropout > 0 or shape.family == "granite"
    kept_masks, masks = (p.masks(), 0) if s.checkpointing else (0, p.masks())
    leaf = 2 * stream if s.checkpointing and not full else 0
    common = p.common() + kept_masks + (stream if leaf and separate else 0)
    local = masks + (stream if separate or not first.keeps_input else 0)
    local += rounded(s.seq * shape.hidden * p.e) if shape.positions else 0
    kinds = [blocks[kind] for kind in order]
    return Step(embedding, first, kinds, norm, loss, common, masks, local, leaf, held)


def _chunks(n: int, parts: int) -> list[int]:
    size = -(-n // parts)
    return [min(size, n - at) for at in range(0, n, size)]
