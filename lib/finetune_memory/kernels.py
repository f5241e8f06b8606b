"""Stand-ins that allocate as CUDA kernels do, where PyTorch's CPU operators would not.

:class:`CudaKernels` is a mode that replaces a few functions while it is on. The stand-ins compute nothing (they run
under fake tensors); they only make, keep and drop the tensors that the CUDA kernel makes, keeps and drops.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from finetune_memory.libraries import DTYPES
from finetune_memory.settings import Settings
from finetune_memory.tape import rounded
from finetune_memory.training_step import fused_kernel


def _empty(like: torch.Tensor, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


class _HalfSoftmax(torch.autograd.Function):
    """``softmax(half, dtype=float32)``: one fused CUDA kernel without a converted copy (native/SoftMax.cpp)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = torch.empty_like(x, dtype=torch.float32)
        ctx.save_for_backward(y)
        ctx.dtype = x.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        out = torch.empty_like(y, dtype=ctx.dtype)
        product = torch.empty_like(y)  # grad * output
        del product
        return out


class _Attention(torch.autograd.Function):
    """The fused kernels of scaled_dot_product_attention. Shapes: (batch, heads, length, head size). "efficient"
    (native/transformers/cuda/attention.cu, attention_backward.cu, mem_eff_attention/kernel_backward.h) takes key and value
    with as many heads as the query; "flash" (FlashAttention 2, cuda/flash_attn/flash_api.cpp) with their own number."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, bias: Any, kernel: str) -> Any:
        b, h, t, d = query.shape
        out = _empty(query, b, t, h, value.shape[-1]).transpose(1, 2)
        logsumexp = _empty(query, b, h, t if kernel == "flash" else rounded(t, 32), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, bias, out, logsumexp)
        ctx.kernel = kernel
        return out

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        query, key, value, bias, out, logsumexp = ctx.saved_tensors
        b, h, t, d = query.shape
        grads = [torch.empty_like(x.transpose(1, 2)).transpose(1, 2) for x in (query, key, value)]
        if ctx.kernel == "flash":
            rows, columns = rounded(t, 128), rounded(d, 32 if d <= 128 else 64)
            dots = _empty(query, b, h, rows, dtype=torch.float32)
            summed = _empty(query, b, rows, h, columns, dtype=torch.float32)
            expanded = [_empty(key, b, key.shape[2], h, d) for _ in range(2)] if key.shape[1] != h else []
            del dots, summed, expanded
        else:
            half = query.element_size() == 2
            if half:
                delta = _empty(query, b, h, t, dtype=torch.float32)
            else:
                delta = (grad.float() * out.float()).sum(-1).contiguous()
            # the gradient of the query is summed up in fp32 in tiles of 64 rows
            tiles = -(-t // 64) * (64 * rounded(d, 64 if d > 32 else 32) + 4)
            workspace = _empty(query, b * h * tiles, dtype=torch.float32)
            del delta, workspace
        return *grads, None, None


class CudaKernels(TorchFunctionMode):
    """While on, attention, softmax, dropout and (under autocast) CUDA's list of fp32 functions allocate as on a GPU.

    flash: whether the flash kernel is asked for; where it is not possible, PyTorch picks another. arch: compute
    capability times ten. version: of PyTorch.
    """

    def __init__(self, flash: bool, arch: int, version: tuple[int, ...]):
        super().__init__()
        self.flash, self.arch, self.version = flash, arch, version

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is F.softmax and kwargs.get("dtype") is torch.float32 and args[0].dtype == torch.float16:
            return _HalfSoftmax.apply(args[0])
        if func is F.dropout:
            return _dropout(*args, **kwargs)
        if func in AUTOCAST_FP32 and torch.is_autocast_enabled("cpu"):
            args = [a.float() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args]
        return func(*args, **kwargs)

    def _attention(self, query: Any, key: Any, value: Any, attn_mask: Any = None, **kwargs: Any) -> Any:
        if kwargs.get("dropout_p"):
            raise ValueError("the simulation has no attention dropout; set attention_dropout to 0")
        if torch.is_autocast_enabled("cpu"):  # on CUDA's list of what autocast computes in 16 bits
            query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
        bias = attn_mask
        if bias is not None and bias.dtype == torch.bool:  # convert_boolean_attn_mask
            inverse = bias.logical_not()
            bias = torch.zeros(bias.shape, dtype=query.dtype, device=query.device).masked_fill_(inverse, 0)
            del inverse
        kernel, groups = "flash", query.shape[1] // key.shape[1]
        if not self.flash or query.element_size() != 2 or bias is not None:
            dtype = next(name for name, known in DTYPES.items() if known == query.dtype)
            kernel = fused_kernel(
                dtype, query.shape[-1], groups > 1, bias is not None, self.arch, self.version
            )
        if kernel != "flash" and groups > 1:
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
        if kernel in ("flash", "efficient"):
            return _Attention.apply(query, key, value, bias, kernel)
        return _math_attention(query, key, value, bias, kwargs.get("is_causal"), kwargs.get("scale"))


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x


def _math_attention(query: Any, key: Any, value: Any, bias: Any, is_causal: Any, scale: Any) -> Any:
    """``_scaled_dot_product_attention_math``, operator by operator (native/transformers/attention.cpp)."""
    if is_causal:
        t, s = query.shape[-2], key.shape[-2]
        keep = torch.ones(t, s, dtype=torch.bool, device=query.device).tril()
        bias = torch.zeros(t, s, dtype=query.dtype, device=query.device).masked_fill_(keep.logical_not(), 0)
        del keep
    dtype = query.dtype
    if query.element_size() == 2:  # 16-bit inputs are computed in fp32
        query, key, value = query.float(), key.float(), value.float()
        bias = None if bias is None else bias.float()
    root = (scale if scale is not None else query.shape[-1] ** -0.5) ** 0.5
    query = query * root
    scores = torch.matmul(query, (key * root).transpose(-2, -1))
    if bias is not None:
        scores = scores.add_(bias)
    weights = torch.softmax(scores, -1)
    return torch.matmul(weights, value).to(dtype)


# functions that CUDA's autocast runs in fp32 and the CPU's does not (torch/amp, "CUDA Ops that can autocast to float32")
_NAMES = ("pow", "rsqrt", "exp", "sum", "cumsum", "norm")
AUTOCAST_FP32 = {getattr(owner, name) for owner in (torch, torch.Tensor) for name in _NAMES}
AUTOCAST_FP32 |= {F.layer_norm, F.group_norm, F.softmax, F.log_softmax, F.cross_entropy, F.nll_loss}
AUTOCAST_FP32 |= {torch.prod, torch.Tensor.__pow__}


class FusedLoss(torch.autograd.Function):
    """Cross-entropy fused with the head's matrix product, as in Liger-Kernel (``fused_linear_cross_entropy.py``): of each
    chunk the logits are made, turned into their gradient in place, multiplied back and dropped, all in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, chunks: int) -> Any:
        flat = hidden.reshape(-1, hidden.shape[-1])
        grad_hidden = torch.zeros_like(hidden)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        grad_bias = torch.zeros_like(bias) if bias is not None and bias.requires_grad else None
        for part in flat.chunk(chunks):
            logits = F.linear(part, weight, bias)
            part_grad = logits @ weight
            if grad_weight is not None:
                grad_weight += logits.t() @ part
            if grad_bias is not None:
                grad_bias += logits.sum(0)
            del logits, part_grad
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return torch.zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return *ctx.saved_tensors, None


class _Matmul4Bit(torch.autograd.Function):
    """``bitsandbytes.autograd.MatMul4Bit`` with a GPU's dequantise-then-multiply (bitsandbytes/backends/cuda/ops.py,
    ``_dequant_linear_fallback``): the whole weight is expanded in the forward and again in the backward pass. Of the
    input nothing is kept, since version 0.43.2; before, all of it was."""

    @staticmethod
    def forward(ctx: Any, x: Any, module: Any) -> Any:
        ctx.module, ctx.kept = module, x if module.keeps_input else None
        weight = module.dequantised(x.dtype)
        bias = None if module.bias is None else module.bias.to(x.dtype)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        weight = ctx.module.dequantised(ctx.module.weight_dtype).to(grad.dtype)
        return torch.matmul(grad, weight), None


def four_bit_linear(linear: torch.nn.Linear, s: Settings, codes: tuple[torch.Tensor, ...]) -> Any:
    """A stand-in for ``bitsandbytes.nn.Linear4bit`` made from an ``nn.Linear`` (fake, 16-bit).

    Storage, for n weights: uint8 n / 2; without double quantisation fp32 scales n / 64; with it, uint8 scales n / 64,
    fp32 scales of those n / 64 / 256 and an offset (QLoRA, arXiv:2305.14314, section 3). ``codes``: the code books that
    all layers share.
    """
    import bitsandbytes

    class Linear4bit(bitsandbytes.nn.Linear4bit):  # type: ignore[misc]
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            n = linear.weight.numel()
            blocks = -(-n // 64)
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.compute_dtype, self.compute_type_is_set = DTYPES[s.dtype], True
            self.weight_dtype, self.bias = linear.weight.dtype, linear.bias
            packed = torch.empty((n + 1) // 2, 1, dtype=torch.uint8)
            weight: Any = torch.nn.Parameter(packed, requires_grad=False)
            weight.quant_type, weight.compress_statistics = "nf4", s.double_quant
            weight.quant_storage, weight.bnb_quantized = torch.uint8, True
            self.weight, self.codes, self.scale_blocks = weight, codes, blocks
            self.constants = [torch.empty(blocks, dtype=torch.uint8 if s.double_quant else torch.float32)]
            if s.double_quant:
                self.constants += [torch.empty(-(-blocks // 256)), torch.empty(())]
            self.constants.append(torch.empty(16))  # the NF4 code book, one a layer
            self.keeps_input = s.version("bitsandbytes") < (0, 43, 2)

        def dequantised(self, dtype: torch.dtype) -> torch.Tensor:
            """The whole weight, (out_features, in_features); the scales are expanded first if they are quantised."""
            if s.double_quant:
                scales = torch.empty(self.scale_blocks)
                scales = scales + 0  # the offset is added
            return torch.empty(self.out_features, self.in_features, dtype=dtype)

        def forward(self, x: torch.Tensor) -> Any:
            return _Matmul4Bit.apply(x.to(self.compute_dtype), self).to(x.dtype)

    return Linear4bit()
