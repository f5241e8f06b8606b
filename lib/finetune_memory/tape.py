"""Autograd of sizes: the operators of a transformer, with what each takes, keeps and drops, and nothing computed.

A value here is a number of elements and their width in bytes. Its block of memory dies with the last reference to it,
as in PyTorch, so that a program written as the library writes its own shows the library's memory. What an operator keeps
for its gradient follows ``tools/autograd/derivatives.yaml`` of PyTorch; what its backward takes, the functions named
there (``FunctionsManual.cpp``). Blocks are rounded up to 512 bytes, as CUDA's caching allocator does.
"""

from __future__ import annotations

from collections.abc import Callable

# what a block is
TEMPORARY, SAVED, GRADIENT, LOSS = range(4)
PARAMETER = -1  # in place of a node: a trainable parameter


class Stop(Exception):
    """The recomputation has made all it needs (``set_checkpoint_early_stop``)."""


def rounded(size: int) -> int:
    return -(-size // 512) * 512


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

    def __del__(self):
        self.tape.live[self.kind] -= self.size
        self.tape.total -= self.size


class Value:
    """A tensor: its block, elements, bytes an element, whether it needs a gradient, and the node that made it."""

    __slots__ = ("block", "n", "e", "grad", "node")

    def __init__(self, block: Block | None, n: int, e: int, grad: bool = False, node: int | None = None):
        self.block, self.n, self.e, self.grad, self.node = block, n, e, grad, node


class Parameter(Value):
    """A weight. Its own memory is counted elsewhere; its gradient appears on the tape."""

    __slots__ = ()

    def __init__(self, n: int, e: int, trainable: bool):
        super().__init__(None, n, e, trainable, PARAMETER if trainable else None)


class Tape:
    """Counts live bytes by kind while a program runs on it, forward and backward.

    autocast: bytes an element that matrix products are cast to (None: no autocast). update: bytes of temporaries that an
    update of one parameter takes as soon as its gradient, of so many bytes, is there (None: gradients are kept). kind: of
    blocks that are made. graph: blocks that operators hold outside of what autograd saves: they live as long as the graph, through
    the backward pass and until the loss goes. shared: whether there is one parameter only, used several times.
    """

    def __init__(self, autocast: int | None = None, update: Callable[[int], int] | None = None):
        self.live, self.total, self.peak, self.at_peak = [0, 0, 0, 0], 0, 0, (0, 0, 0, 0)
        self.autocast, self.update = autocast, update
        self.casts: dict[int, Value] = {}
        self.gradients: list[Block] = []
        self.graph: list[Block] = []
        self.kind, self.shared = TEMPORARY, False
        self.start()
        self.recording, self.dry, self.stop_after = True, False, -1

    def start(self) -> None:
        """A new program: forget the operators."""
        self.nodes: list[tuple | None] = []
        self.keeping = 0

    def free(self) -> None:
        """Drop what the finished program left: gradients of parameters and autocast's copies."""
        self.gradients.clear()
        self.casts.clear()

    def new(self, n: int, e: int, kind: int | None = None, view: bool = False) -> Block:
        return Block(
            self, 0 if self.dry else -(-n * e // 512) * 512, self.kind if kind is None else kind, view
        )

    def reset_peak(self) -> None:
        self.peak, self.at_peak = self.total, tuple(self.live)

    def record(self, inputs: tuple, run: Callable, keeps: bool) -> int | None:
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

    def leaf(self, n: int, e: int, grad: bool = False) -> Value:
        return Value(self.new(n, e), n, e, grad)

    def like(self, x: Value, n: int, e: int, keeps: bool, run: Callable) -> Value:
        """An operator of one differentiable input whose output has its own block."""
        if not x.grad:
            return Value(self.new(n, e), n, e)
        node = self.record((x.node,), run, keeps)
        return Value(self.new(n, e), n, e, True, node)

    def plain(self, x: Value, n: int | None = None) -> Value:
        """Keeps nothing; backward makes one tensor: a product with a number, a negation, a copy."""
        xn, xe = x.n, x.e
        return self.like(x, xn if n is None else n, xe, False, lambda g: (self.new(xn, xe),))

    def copy(self, x: Value) -> Value:
        """A clone; its gradient is passed on as it is."""
        return self.like(x, x.n, x.e, False, lambda g: (g,))

    def cast(self, x: Value, e: int) -> Value:
        if x.e == e:
            return x
        xn, xe, kind = x.n, x.e, GRADIENT if x.node == PARAMETER else None
        return self.like(x, xn, e, False, lambda g: (self.new(xn, xe, kind),))

    def view(self, x: Value, copied_back: bool = False) -> Value:
        """The same block under another shape. copied_back: its gradient comes laid out otherwise and is copied."""
        if not (x.grad and copied_back):
            return x
        xn, xe = x.n, x.e
        node = self.record((x.node,), lambda g: (self.new(xn, xe),), False)
        return Value(x.block, xn, xe, True, node)

    def add(self, a: Value, b: Value) -> Value:
        """Keeps nothing; both get the same gradient, cast if theirs is another dtype. ``b`` may be broadcast."""
        e, n = max(a.e, b.e), max(a.n, b.n)
        if not (a.grad or b.grad):
            return Value(self.new(n, e), n, e)

        def gradient(g, x):
            return None if not x[1] else g if x[2] == e and x[0] == n else self.new(x[0], x[2])

        fa, fb = (a.n, a.grad, a.e), (b.n, b.grad, b.e)
        node = self.record((a.node, b.node), lambda g: (gradient(g, fa), gradient(g, fb)), False)
        return Value(self.new(n, e), n, e, True, node)

    def multiply(self, a: Value, b: Value) -> Value:
        """Keeps each factor that the other's gradient needs. The second factor's gradient is made first; a smaller factor's is summed up."""
        e, n = max(a.e, b.e), max(a.n, b.n)
        if not (a.grad or b.grad):
            return Value(self.new(n, e), n, e)
        kept = (b.block if a.grad else None, a.block if b.grad else None)

        def one(x):
            grad, xn, xe, kind = x
            if not grad:
                return None
            whole = self.new(n, e)
            if xn != n:
                whole = self.new(xn, e, kind if xe == e else None)
            return whole if xe == e else self.new(xn, xe, kind)

        fa, fb = ((x.grad, x.n, x.e, GRADIENT if x.node == PARAMETER else None) for x in (a, b))

        def run(g, kept=kept):
            second = one(fb)
            return one(fa), second

        node = self.record((a.node, b.node), run, True)
        return Value(self.new(n, e), n, e, True, node)

    def unary(self, x: Value, keeps_result: bool = False, temporaries: int = 0) -> Value:
        """An activation that keeps its input (silu, gelu) or its result (tanh, relu)."""
        xn, xe = x.n, x.e
        if not x.grad:
            return Value(self.new(xn, xe), xn, xe)
        out = self.new(xn, xe) if keeps_result else None

        def run(g, kept=out or x.block):
            scratch = [self.new(xn, xe) for _ in range(temporaries)]
            result = self.new(xn, xe)
            del scratch
            return (result,)

        node = self.record((x.node,), run, True)
        return Value(out or self.new(xn, xe), xn, xe, True, node)

    def power(self, x: Value) -> Value:
        """x squared or cubed, in fp32 under autocast: keeps x; ``pow_backward`` makes a power, its multiple and the product."""
        if self.autocast:
            x = self.cast(x, 4)
        xn, xe = x.n, x.e
        if not x.grad:
            return Value(self.new(xn, xe), xn, xe)

        def run(g, kept=x.block):
            power = self.new(xn, xe)
            multiple = self.new(xn, xe)
            out = self.new(xn, xe)
            del multiple, power
            return (out,)

        node = self.record((x.node,), run, True)
        return Value(self.new(xn, xe), xn, xe, True, node)

    def inverse_root_mean_square(self, x: Value, rows: int) -> Value:
        """``torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)``: keeps x and the result, one number a row."""
        square = self.power(x)
        n, e = x.n, x.e

        def run(g):
            return (self.new(n, e),)  # the mean's gradient, spread over the row and divided

        node = self.record((square.node,), run, False) if x.grad else None
        del square
        out = self.new(rows, e)
        if not x.grad:
            return Value(out, rows, e)
        node = self.record((node,), lambda g, kept=out: (self.new(rows, e),), True)
        return Value(out, rows, e, True, node)

    def layer_norm(self, x: Value, rows: int, weight: Parameter | None, bias: Parameter | None) -> Value:
        """``native_layer_norm``: keeps its input, and mean and inverse deviation in fp32."""
        if self.autocast:
            x = self.cast(x, 4)
        xn, xe, params = x.n, x.e, [p for p in (weight, bias) if p is not None]
        trainable = [p for p in params if p.grad]
        if not (x.grad or trainable):
            out = self.new(xn, xe)
            return Value(out, xn, xe)
        out, mean, deviation = None, self.new(rows, 4), self.new(rows, 4)

        def run(g, kept=(x.block, mean, deviation), grad=x.grad):
            gx = self.new(xn, xe) if grad else None
            return (gx, *[self.new(p.n, p.e, GRADIENT) for p in trainable])

        node = self.record((x.node, *[PARAMETER] * len(trainable)), run, True)
        out = self.new(xn, xe)
        return Value(out, xn, xe, True, node)

    def linear(
        self, x: Value, weight: Parameter | Value, outputs: int, bias: Parameter | None = None
    ) -> Value:
        """``x @ weight.T``: keeps the input if the weight is trained, and the weight. The weight's gradient is made first."""
        if self.autocast:
            x, weight = self.cast(x, self.autocast), self._cast_weight(weight)
        bias_grad = bias is not None and bias.grad
        n, e = x.n // (weight.n // outputs) * outputs, x.e
        if not (x.grad or weight.grad):
            return Value(self.new(n, e), n, e)
        kept = (x.block if weight.grad else None, weight.block if x.grad else None)
        xn, xe, xg, wn, we, wg, kind = (
            x.n,
            x.e,
            x.grad,
            weight.n,
            weight.e,
            weight.grad,
            GRADIENT if weight.node == PARAMETER else None,
        )

        def run(g, kept=kept):
            gb = self.new(outputs, we, GRADIENT) if bias_grad else None
            gw = self.new(wn, we, kind, view=True) if wg else None
            gx = self.new(xn, xe, view=True) if xg else None
            return gx, gw, gb

        node = self.record((x.node, weight.node, PARAMETER if bias_grad else None), run, True)
        return Value(self.new(n, e), n, e, True, node)

    def _cast_weight(self, weight: Value) -> Value:
        """Autocast keeps the 16-bit copy of a trained fp32 weight until the context is left, and uses it again."""
        if weight.e == self.autocast:
            return weight
        if id(weight) in self.casts:
            return self.casts[id(weight)]
        copy = self.cast(weight, self.autocast)
        if weight.grad:
            self.casts[id(weight)] = copy
        return copy

    def linear_4bit(
        self, x: Value, inputs: int, outputs: int, compute: int, stored: int, scales: int, keeps: bool = False
    ) -> Value:
        """bitsandbytes' 4-bit product by a GPU: the whole weight is expanded to ``compute`` bytes an element forward and to
        ``stored`` backward; of the input nothing is kept (``autograd/_functions.py``, ``MatMul4Bit``). scales: elements of
        the quantised scales, which are expanded to fp32 first (0: they are fp32 already). keeps: whether the input is kept
        after all: before version 0.43.2 it was an attribute of the graph's node (``ctx.tensors = (A, B)``), which neither
        the end of its backward nor gradient checkpointing frees."""
        e = x.e
        y = self.cast(x, compute)
        weight = self._dequantised(inputs * outputs, compute, scales)
        xn, n = y.n, y.n // inputs * outputs

        if keeps and x.grad and not self.dry:
            self.graph.append(y.block)

        def run(g):
            weight = self._dequantised(inputs * outputs, stored, scales)
            if stored != compute:
                weight = self.new(inputs * outputs, compute)
            out = self.new(xn, compute, view=True)
            del weight
            return (out,)

        node = self.record((y.node,), run, False) if x.grad else None
        out = Value(self.new(n, compute), n, compute, x.grad, node)
        del weight, y
        return self.cast(out, e)

    def _dequantised(self, n: int, e: int, scales: int) -> Block:
        if scales:
            expanded = self.new(scales, 4)
            expanded = self.new(scales, 4)  # the offset is added
            weight = self.new(n, e)
            del expanded
            return weight
        return self.new(n, e)

    def matmul(self, a: Value, b: Value, n: int) -> Value:
        """A batched product of two activations: keeps both."""
        (an, ag), (bn, bg), e = (a.n, a.grad), (b.n, b.grad), a.e
        if not (ag or bg):
            return Value(self.new(n, e), n, e)
        kept = (a.block if bg else None, b.block if ag else None)

        def run(g, kept=kept):
            gb = self.new(bn, e, view=True) if bg else None
            ga = self.new(an, e, view=True) if ag else None
            return ga, gb

        node = self.record((a.node, b.node), run, True)
        return Value(self.new(n, e), n, e, True, node)

    def softmax(self, x: Value) -> Value:
        """Keeps its result; its backward on CUDA first forms gradient times result."""
        n, e = x.n, x.e
        out = self.new(n, e)
        if not x.grad:
            return Value(out, n, e)

        def run(g, kept=out):
            result = self.new(n, e)
            product = self.new(n, e)
            del product
            return (result,)

        return Value(out, n, e, True, self.record((x.node,), run, True))

    def half_softmax(self, x: Value) -> Value:
        """``softmax(fp16, dtype=fp32)``: one fused CUDA kernel without a converted copy (native/SoftMax.cpp)."""
        n = x.n
        out = self.new(n, 4)
        if not x.grad:
            return Value(out, n, 4)

        def run(g, kept=out):
            result = self.new(n, 2)
            product = self.new(n, 4)
            del product
            return (result,)

        return Value(out, n, 4, True, self.record((x.node,), run, True))

    def dropout(self, x: Value) -> Value:
        """``native_dropout``: keeps a mask of one byte an element."""
        n, e = x.n, x.e
        out, mask = self.new(n, e), self.new(n, 1)
        if not x.grad:
            return Value(out, n, e)
        return Value(out, n, e, True, self.record((x.node,), lambda g, kept=mask: (self.new(n, e),), True))

    def expand(self, x: Value, times: int) -> Value:
        """Keys or values repeated for all heads; the gradient is summed back."""
        n, e = x.n, x.e
        return self.like(x, n * times, e, False, lambda g: (self.new(n, e),))

    def parts(self, x: Value, sizes: tuple[int, ...], padded: bool = False) -> list[Value]:
        """Views of a fused projection's output. Gradients come back by one concatenation (``split``), or padded to full
        width one by one and added up (slices)."""
        n, e = x.n, x.e
        if not x.grad:
            return [Value(x.block, size, e) for size in sizes]
        if padded:
            return [
                Value(x.block, size, e, True, self.record((x.node,), lambda g: (self.new(n, e),), False))
                for size in sizes
            ]
        arrived: list[Block] = []

        def gather(g):
            arrived.append(g)
            return (Block(self, 0, TEMPORARY, False),)

        def join(g):
            whole = self.new(n, e)
            arrived.clear()
            return (whole,)

        whole = self.record((x.node,), join, False)
        return [Value(x.block, size, e, True, self.record((whole,), gather, False)) for size in sizes]

    def rotate(self, x: Value, angles: Value, share: float) -> Value:
        """``x * cos + rotate_half(x) * sin`` on ``share`` of each head. Backward: the product with sin, its negated half, two
        slices padded to full width and added up, the product with cos added to that."""
        n, e, grad = x.n, max(x.e, angles.e), x.grad
        rotated, xe = int(n * share), x.e
        node = None
        if grad:

            def run(g, kept=angles.block):
                part = self.new(rotated, e)
                half = self.new(rotated // 2, xe)
                total = self.new(n if share == 1 else rotated, xe)
                del half
                other = self.new(n if share == 1 else rotated, xe)
                del part, other
                product = (
                    self.new(rotated, xe) if e == xe else (self.new(rotated, e), self.new(rotated, xe))[1]
                )
                del product
                if share < 1:  # slices of x: the rotated part and the rest, each padded to full width
                    whole, rest = self.new(n, xe), self.new(n, xe)
                    del total, rest
                    return (whole,)
                return (total,)

            node = self.record((x.node,), run, True)
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
        return Value(out, n, e, grad, node)

    # --- backward ----------------------------------------------------------------------------------------------

    def backward(
        self, buffers: dict[int, Block], ready: Callable[[int], None] | None = None, until: int = 0
    ) -> Block | None:
        """Run the recorded operators from the last to number ``until``. buffers: gradients of outputs by node; emptied.
        ready: called once, with the node's number, before the first operator that keeps tensors runs. Returns the gradient
        that reaches :data:`INPUT`, the input of the program."""
        position = len(self.nodes)
        while position > until:
            position -= 1
            g = buffers.pop(position, None)
            if g is None:
                self.nodes[position] = None
                continue
            if ready is not None and self.nodes[position][2]:
                ready(position)
                ready = None
            inputs, run, _ = self.nodes[position]
            grads = run(g)
            self.nodes[position] = run = g = None
            for node, grad in zip(inputs, grads, strict=False):
                if grad is None or node is None:
                    continue
                if node == PARAMETER:
                    self._keep(grad)
                elif node in buffers:
                    buffers[node] = self._sum(buffers, node, grad)
                else:
                    buffers[node] = grad
            grads = grad = None
        return buffers.pop(INPUT, None)

    def _sum(self, buffers: dict[int, Block], node: int, grad: Block) -> Block:
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
            scratch = Block(self, self.update(grad.size), TEMPORARY, False)
            del scratch


INPUT = -2
