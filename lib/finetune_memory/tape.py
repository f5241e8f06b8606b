"""Autograd of sizes: the operators of a transformer, with what each takes, keeps and drops, and nothing computed.

A value here is a number of elements and their width in bytes. Its block of memory dies with the last reference to it,
as in PyTorch, so that a program written as the library writes its own shows the library's memory. What an operator keeps
for its gradient follows ``tools/autograd/derivatives.yaml`` of PyTorch; what its backward takes, the functions named
there (``FunctionsManual.cpp``). Blocks are rounded up to 512 bytes, as CUDA's caching allocator does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

# what a block is
TEMPORARY, SAVED, GRADIENT, LOSS = range(4)
PARAMETER, INPUT = -1, -2  # in place of a node: a trainable parameter, the program's input


class Stop(Exception):
    """The recomputation has made all it needs (``set_checkpoint_early_stop``)."""


def rounded(size: int, multiple: int = 512) -> int:
    """The smallest multiple that is at least ``size``: of 512, the bytes that a block of this size takes."""
    return -(-size // multiple) * multiple


class Block:
    """A storage. ``view``: its gradient tensor is a view, which autograd does not add into in place."""

    __slots__ = ("tape", "size", "kind", "view")

    def __init__(self, tape: Tape, size: int, kind: int, view: bool):
        self.tape, self.size, self.kind, self.view = tape, size, kind, view
        live = tape.live
        live[kind] += size
        tape.total += size
        if tape.total > tape.peak:
            tape.peak, tape.at_peak = tape.total, tuple(live)

    def __del__(self) -> None:
        self.tape.live[self.kind] -= self.size
        self.tape.total -= self.size


class Value:
    """A tensor: its block, elements, bytes an element, whether it needs a gradient, and the node that made it."""

    __slots__ = ("block", "n", "e", "grad", "node")

    def __init__(self, block: Block | None, n: int, e: int, grad: bool = False, node: int | None = None):
        self.block, self.n, self.e, self.grad, self.node = block, n, e, grad, node

    @property
    def gradient_kind(self) -> int | None:
        """What its gradient's block is: of a parameter it stays."""
        return GRADIENT if self.node == PARAMETER else None

    def bare(self) -> Value:
        """The same without its block: what a backward may know of it and not keep it alive."""
        return Value(None, self.n, self.e, self.grad, self.node)


class Parameter(Value):
    """A weight. Its own memory is counted elsewhere; its gradient appears on the tape."""

    __slots__ = ()

    def __init__(self, n: int, e: int, trainable: bool):
        super().__init__(None, n, e, trainable, PARAMETER if trainable else None)


Made = tuple[Block | None, ...]
Gradients = Callable[[Block], Made]  # of an operator's inputs, from its output's


class Tape:
    """Counts live bytes by kind while a program runs on it, forward and backward.

    autocast: bytes an element that matrix products are cast to (None: no autocast). update: bytes of temporaries that an
    update of one parameter takes as soon as its gradient, of so many bytes, is there (None: gradients are kept). kind: of
    blocks that are made. graph: blocks that operators hold outside of what autograd saves: they live as long as the graph, through
    the backward pass and until the loss goes. shared: whether there is one parameter only, used several times.
    """

    def __init__(self, autocast: int | None = None, update: Callable[[int], int] | None = None):
        self.live, self.total, self.peak = [0, 0, 0, 0], 0, 0
        self.at_peak: tuple[int, ...] = (0, 0, 0, 0)
        self.autocast, self.update = autocast, update
        self.casts: dict[int, Value] = {}
        self.gradients: list[Block] = []
        self.graph: list[Block] = []
        self.kind, self.shared = TEMPORARY, False
        self.start()
        self.recording, self.dry, self.stop_after = True, False, -1

    def start(self) -> None:
        """A new program: forget the operators."""
        self.nodes: list[Any] = []  # (inputs, run, keeps) of each, None once it has run
        self.keeping = 0

    def free(self) -> None:
        """Drop what the finished program left: gradients of parameters and autocast's copies."""
        self.gradients.clear()
        self.casts.clear()

    def rerun(self, program: Callable[[], object], stop_after: int) -> None:
        """Record a program anew, up to the operator that is the ``stop_after``-th to keep tensors, and with casts of its own."""
        self.start()
        self.casts.clear()
        self.stop_after = stop_after
        with contextlib.suppress(Stop):
            program()
        self.stop_after = -1
        self.casts.clear()

    def new(self, n: int, e: int, kind: int | None = None, view: bool = False) -> Block:
        size = 0 if self.dry else rounded(n * e)
        return Block(self, size, self.kind if kind is None else kind, view)

    def reset_peak(self) -> None:
        self.peak, self.at_peak = self.total, tuple(self.live)

    def record(self, inputs: tuple[int | None, ...], run: Gradients, keeps: bool) -> int | None:
        """Note an operator's backward: ``run(g)`` gives one gradient (or None) for each of ``inputs``. keeps: whether it
        holds tensors from the forward pass, which a checkpointed block must first make again."""
        if not self.recording:
            return None
        self.nodes.append((inputs, run, keeps))
        self.keeping += keeps
        if keeps and self.keeping == self.stop_after:
            raise Stop
        return len(self.nodes) - 1

    # --- operators ---------------------------------------------------------------------------------------------

    def output(
        self,
        inputs: tuple[Value, ...],
        n: int,
        e: int,
        run: Gradients,
        keeps: bool,
        block: Block | None = None,
    ) -> Value:
        """What an operator makes of its differentiable inputs, in a block of its own (``block``, if it is there already)."""
        if not any(x.grad for x in inputs):
            return Value(block or self.new(n, e), n, e)
        node = self.record(tuple(x.node for x in inputs), run, keeps)
        return Value(block or self.new(n, e), n, e, True, node)

    def makes(self, n: int, e: int, kind: int | None = None, kept: object = None) -> Gradients:
        """A backward that makes one tensor; what it holds on to until then."""

        def run(g: Block, kept: object = kept) -> Made:
            return (self.new(n, e, kind),)

        return run

    def plain(self, x: Value, times: int = 1) -> Value:
        """Keeps nothing; backward makes one tensor: a product with a number, a negation, a copy, a repetition."""
        return self.output((x,), x.n * times, x.e, self.makes(x.n, x.e), False)

    def copy(self, x: Value) -> Value:
        """A clone; its gradient is passed on as it is."""
        return self.output((x,), x.n, x.e, lambda g: (g,), False)

    def cast(self, x: Value, e: int) -> Value:
        return x if x.e == e else self.output((x,), x.n, e, self.makes(x.n, x.e, x.gradient_kind), False)

    def view(self, x: Value, copied_back: bool = False) -> Value:
        """The same block under another shape. copied_back: its gradient comes laid out otherwise and is copied."""
        if not (x.grad and copied_back):
            return x
        return self.output((x,), x.n, x.e, self.makes(x.n, x.e), False, x.block)

    def add(self, a: Value, b: Value) -> Value:
        """Keeps nothing; both get the same gradient, cast if theirs is another dtype. ``b`` may be broadcast."""
        e, n, bare = max(a.e, b.e), max(a.n, b.n), (a.bare(), b.bare())

        def gradient(g: Block, x: Value) -> Block | None:
            return None if not x.grad else g if x.e == e and x.n == n else self.new(x.n, x.e)

        return self.output((a, b), n, e, lambda g: tuple(gradient(g, x) for x in bare), False)

    def multiply(self, a: Value, b: Value) -> Value:
        """Keeps each factor that the other's gradient needs. The second factor's gradient is made first; a smaller factor's is summed up."""
        e, n, first, second = max(a.e, b.e), max(a.n, b.n), a.bare(), b.bare()

        def gradient(x: Value) -> Block | None:
            if not x.grad:
                return None
            whole = self.new(n, e)
            if x.n != n:
                whole = self.new(x.n, e, x.gradient_kind if x.e == e else None)
            return whole if x.e == e else self.new(x.n, x.e, x.gradient_kind)

        def run(g: Block, kept: object = (b.block if a.grad else None, a.block if b.grad else None)) -> Made:
            last = gradient(second)
            return gradient(first), last

        return self.output((a, b), n, e, run, True)

    def unary(self, x: Value, keeps_result: bool = False) -> Value:
        """An activation that keeps its input (silu, gelu) or its result (tanh, relu)."""
        out = self.new(x.n, x.e) if keeps_result else None
        return self.output((x,), x.n, x.e, self.makes(x.n, x.e, kept=out or x.block), True, out)

    def power(self, x: Value) -> Value:
        """x squared or cubed, in fp32 under autocast: keeps x; ``pow_backward`` makes a power, its multiple and the product."""
        if self.autocast:
            x = self.cast(x, 4)
        n, e = x.n, x.e

        def run(g: Block, kept: object = x.block) -> Made:
            power, multiple = self.new(n, e), self.new(n, e)
            out = self.new(n, e)
            del multiple, power
            return (out,)

        return self.output((x,), n, e, run, True)

    def inverse_root_mean_square(self, x: Value, rows: int) -> Value:
        """``torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)``: keeps x and the result, one number a row."""
        square = self.power(x)
        # the mean's gradient is spread over the row and divided
        node = self.record((square.node,), self.makes(x.n, x.e), False) if x.grad else None
        del square
        out = self.new(rows, x.e)
        node = self.record((node,), self.makes(rows, x.e, kept=out), True) if x.grad else None
        return Value(out, rows, x.e, x.grad, node)

    def layer_norm(self, x: Value, rows: int, weight: Parameter | None, bias: Parameter | None) -> Value:
        """``native_layer_norm``: keeps its input, and mean and inverse deviation in fp32."""
        if self.autocast:
            x = self.cast(x, 4)
        xn, xe = x.n, x.e
        trainable = [p for p in (weight, bias) if p is not None and p.grad]
        if not (x.grad or trainable):
            return Value(self.new(xn, xe), xn, xe)
        mean, deviation = self.new(rows, 4), self.new(rows, 4)

        def run(g: Block, kept: object = (x.block, mean, deviation), grad: bool = x.grad) -> Made:
            gx = self.new(xn, xe) if grad else None
            return (gx, *[self.new(p.n, p.e, GRADIENT) for p in trainable])

        return self.output((x, *trainable), xn, xe, run, True)

    def linear(self, x: Value, weight: Value, outputs: int, bias: Parameter | None = None) -> Value:
        """``x @ weight.T``: keeps the input if the weight is trained, and the weight. The weight's gradient is made first."""
        if self.autocast:
            x, weight = self.cast(x, self.autocast), self.cast_weight(weight)
        inputs = (x, weight) if bias is None or not bias.grad else (x, weight, bias)
        n, bare_x, bare_weight = x.n // (weight.n // outputs) * outputs, x.bare(), weight.bare()
        kept = (x.block if weight.grad else None, weight.block if x.grad else None)
        trains_bias = len(inputs) == 3

        def run(g: Block, kept: object = kept) -> Made:
            of_bias = self.new(outputs, bare_weight.e, GRADIENT) if trains_bias else None
            of_weight = self._gradient_view(bare_weight)
            return self._gradient_view(bare_x), of_weight, of_bias

        return self.output(inputs, n, x.e, run, True)

    def _gradient_view(self, x: Value) -> Block | None:
        """The gradient of a product's factor, if it needs one."""
        return self.new(x.n, x.e, x.gradient_kind, view=True) if x.grad else None

    def cast_weight(self, weight: Value) -> Value:
        """Autocast keeps the 16-bit copy of a trained fp32 weight until the context is left, and uses it again."""
        if self.autocast is None or weight.e == self.autocast:
            return weight
        if id(weight) in self.casts:
            return self.casts[id(weight)]
        copy = self.cast(weight, self.autocast)
        if weight.grad:
            self.casts[id(weight)] = copy
        return copy

    def linear_4bit(
        self, x: Value, inputs: int, outputs: int, compute: int, scales: int, keeps: bool = False
    ) -> Value:
        """bitsandbytes' 4-bit product by a GPU: the whole weight is expanded to ``compute`` bytes an element, forward and
        backward; of the input nothing is kept (``autograd/_functions.py``, ``MatMul4Bit``). scales: elements of
        the quantised scales, which are expanded to fp32 first (0: they are fp32 already). keeps: whether the input is kept
        after all: before version 0.43.2 it was an attribute of the graph's node (``ctx.tensors = (A, B)``), which neither
        the end of its backward nor gradient checkpointing frees."""
        e = x.e
        y = self.cast(x, compute)
        weight = self._dequantised(inputs * outputs, compute, scales)
        xn, n = y.n, y.n // inputs * outputs
        if keeps and x.grad and not self.dry and y.block is not None:
            self.graph.append(y.block)

        def run(g: Block) -> Made:
            weight = self._dequantised(inputs * outputs, compute, scales)
            out = self.new(xn, compute, view=True)
            del weight
            return (out,)

        out = self.output((y,), n, compute, run, False)
        del weight, y
        return self.cast(out, e)

    def _dequantised(self, n: int, e: int, scales: int) -> Block:
        if scales:
            expanded = self.new(scales, 4)
            expanded = self.new(scales, 4)  # noqa: F841  (the offset is added)
        return self.new(n, e)

    def matmul(self, a: Value, b: Value, n: int) -> Value:
        """A batched product of two activations: keeps both."""
        first, second = a.bare(), b.bare()

        def run(g: Block, kept: object = (a.block if b.grad else None, b.block if a.grad else None)) -> Made:
            last = self._gradient_view(second)
            return self._gradient_view(first), last

        return self.output((a, b), n, a.e, run, True)

    def softmax(self, x: Value, e: int | None = None) -> Value:
        """Keeps its result; its backward on CUDA first forms gradient times result. e: bytes of the result, 4 for
        ``softmax(fp16, dtype=fp32)``: one fused CUDA kernel without a converted copy (native/SoftMax.cpp)."""
        n, xe, e = x.n, x.e, e or x.e
        out = self.new(n, e)

        def run(g: Block, kept: object = out) -> Made:
            result = self.new(n, xe)
            self.new(n, e)  # gradient times result
            return (result,)

        return self.output((x,), n, e, run, True, out)

    def dropout(self, x: Value) -> Value:
        """``native_dropout``: keeps a mask of one byte an element."""
        out, mask = self.new(x.n, x.e), self.new(x.n, 1)
        return self.output((x,), x.n, x.e, self.makes(x.n, x.e, kept=mask), True, out)

    def parts(self, x: Value, sizes: tuple[int, ...], padded: bool = False) -> list[Value]:
        """Views of a fused projection's output. Gradients come back by one concatenation (``split``), or padded to full
        width one by one and added up (slices)."""
        n, e = x.n, x.e
        if not x.grad:
            return [Value(x.block, size, e) for size in sizes]
        arrived: list[Block] = []

        def gather(g: Block) -> Made:
            if padded:
                return (self.new(n, e),)
            arrived.append(g)
            return (Block(self, 0, TEMPORARY, False),)

        def join(g: Block) -> Made:
            whole = self.new(n, e)
            arrived.clear()
            return (whole,)

        whole = x.node if padded else self.record((x.node,), join, False)
        return [Value(x.block, size, e, True, self.record((whole,), gather, False)) for size in sizes]

    def rotate(self, x: Value, angles: Value, share: float) -> Value:
        """``x * cos + rotate_half(x) * sin`` on ``share`` of each head. Backward: the product with sin, its negated half, two
        slices padded to full width and added up, the product with cos added to that."""
        n, e, xe = x.n, max(x.e, angles.e), x.e
        rotated = int(n * share)

        def run(g: Block, kept: object = angles.block) -> Made:
            part = self.new(rotated, e)
            half = self.new(rotated // 2, xe)
            total = self.new(n if share == 1 else rotated, xe)
            del half
            other = self.new(n if share == 1 else rotated, xe)
            del part, other
            product = self.new(rotated, e)
            if e != xe:
                self.new(rotated, xe)
            del product
            if share == 1:
                return (total,)
            # slices of x: the rotated part and the rest, each padded to full width
            whole, rest = self.new(n, xe), self.new(n, xe)
            del total, rest
            return (whole,)

        node = self.record((x.node,), run, True) if x.grad else None
        first = self.new(rotated, e)
        half = self.new(rotated // 2, xe)
        turned = self.new(rotated, xe)
        del half
        second = self.new(rotated, e)
        del turned
        out = self.new(rotated, e)
        del first, second
        if share < 1:
            out = self.new(n, e)
        return Value(out, n, e, x.grad, node)

    # --- backward ----------------------------------------------------------------------------------------------

    def backward(
        self, buffers: dict[int | None, Block], ready: Callable[[], None] | None = None, until: int = 0
    ) -> Block | None:
        """Run the recorded operators from the last to number ``until``. buffers: gradients of outputs by node; emptied.
        ready: called once, before the first operator that keeps tensors runs. Returns the gradient
        that reaches :data:`INPUT`, the input of the program."""
        position = len(self.nodes)
        while position > until:
            position -= 1
            g = buffers.pop(position, None)
            if g is None:
                self.nodes[position] = None
                continue
            if ready is not None and self.nodes[position][2]:
                ready()
                ready = None
            inputs, run, _ = self.nodes[position]
            grads = run(g)
            self.nodes[position] = None
            del run, g
            for node, grad in zip(inputs, grads, strict=False):
                if grad is None or node is None:
                    continue
                if node == PARAMETER:
                    self._keep(grad)
                else:
                    buffers[node] = self._sum(buffers, node, grad) if node in buffers else grad
            del grads, grad
        return buffers.pop(INPUT, None)

    def _sum(self, buffers: dict[int | None, Block], node: int, grad: Block) -> Block:
        """Autograd adds in place where nothing else holds the first gradient (``input_buffer.cpp``)."""
        old = buffers[node]
        shared = old.view or old is grad or sum(b is old for b in buffers.values()) > 1
        return Block(self, old.size, TEMPORARY, False) if shared else old

    def _keep(self, grad: Block) -> None:
        if self.shared and self.gradients:  # another use of the one parameter that is trained here
            old = self.gradients.pop()
            self.gradients.append(Block(self, old.size, GRADIENT, False) if old.view else old)
        elif self.update is None or self.shared:
            self.gradients.append(grad)
        else:
            Block(self, self.update(grad.size), TEMPORARY, False)
