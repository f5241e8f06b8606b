"""About how long a training takes on a GPU, from its arithmetic alone. Standard library only."""

from finetune_memory.fit import Gpu
from finetune_memory.settings import Settings

# Share of a GPU's 16-bit rate that fine-tuning of one model reaches. An assumption, wide on purpose: it depends on kernels, lengths
# and the loading of data.
REACHED = (0.15, 0.5)


def operations(s: Settings) -> int:
    """Floating-point operations that a token of training takes.

    A weight takes two operations forward, two for the gradient of its input and, if it is trained, two for its own (Kaplan et al.
    2020, arXiv:2001.08361, section 2.1); checkpointing repeats the forward pass. In attention a token sees half its row on average.
    Adapters, quantisation and sliding windows are left out.
    """
    shape = s.shape
    weights = shape.layers * sum(linear.weights for linear in shape.linears) + shape.head.weights
    attention = shape.layers * s.seq * shape.q_width
    return 2 * (weights * (2 + s.checkpointing + (s.method == "full")) + attention * (3 + s.checkpointing))


def hours(s: Settings, gpu: Gpu, tokens: float) -> tuple[float, float]:
    """The fewest and the most hours, with :data:`REACHED` of the GPU's rate, for so many ``tokens`` (passes included), which several GPUs
    share."""
    at_full_rate = operations(s) * tokens / (gpu.tflops * 1e12 * s.gpus) / 3600
    return at_full_rate / REACHED[1], at_full_rate / REACHED[0]
