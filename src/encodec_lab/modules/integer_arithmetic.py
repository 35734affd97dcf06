"""Arithmetic that gives the same bits everywhere: on any processor, in any order, in any shape of batch.

Three kinds of operation do so, and the integer modules use no others:

- matrix products and sums over integers held in floating point, while every partial sum stays below 2^24 (float32) or
  2^53 (float64): then none is ever rounded, so that order, blocking, threads and fused multiply-adds do not matter. The
  modules prove the bound from their weights before they compute (`prepare`);
- elementwise +, -, *, /, square root, rounding and comparison, one by one: IEEE 754 says what they give;
- tables of integers, made once and kept with the weights, in place of exp and GELU, which no standard specifies.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
# Activations and weights as wide as these pass through TensorFloat-32 unharmed, too.
ACTIVATION_LIMIT = 2047
WEIGHT_LIMIT = 127


class InexactError(ValueError):
    """Tensors with which sums might be rounded, so that they would not be the same on every machine."""


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Inference in which float32 products are float32 products, whatever precision the program asked for elsewhere."""
    backends = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


class ExactLinear(NamedTuple):
    """Rows of an `IntegerLinear`, ready for use.

    Attributes:
        matrix: [in_features, rows] float32; the fastest layout for one activation.
        bias: [rows] float32.
        scale: [rows] float32.
        largest_output: bound of the magnitude of what `apply` gives.
    """

    matrix: Tensor
    bias: Tensor
    scale: Tensor
    largest_output: float

    def apply(self, activations: Tensor) -> Tensor:
        """Integers [N, in_features] to [N, rows], not rounded; both float32."""
        return torch.addmm(self.bias, activations, self.matrix).mul_(self.scale)


class IntegerLinear(nn.Module):
    """Integer activations [N, in_features] to `scale * (weight @ activations + bias)`, the inner part exact.

    Args:
        in_features: of an activation.
        out_features: rows of the weight.
        input_limit: the largest magnitude of an activation.
    """

    def __init__(self, in_features: int, out_features: int, input_limit: int) -> None:
        super().__init__()
        self.input_limit = input_limit
        self.weight: Tensor
        self.bias: Tensor
        self.scale: Tensor
        self.register_buffer("weight", torch.zeros(out_features, in_features, dtype=torch.int8))
        self.register_buffer("bias", torch.zeros(out_features, dtype=torch.int32))
        self.register_buffer("scale", torch.ones(out_features))

    def prepare(self, first: int = 0, last: int | None = None) -> ExactLinear:
        """Rows `first ... last - 1`, by default all, ready for use; InexactError if a sum could be rounded."""
        weight, bias, scale = (tensor[first:last] for tensor in (self.weight, self.bias, self.scale))
        largest = weight.long().abs().sum(dim=1) * self.input_limit + bias.long().abs()
        if int(largest.max()) >= FLOAT32_EXACT:
            raise InexactError(f"a row sums up to {int(largest.max())}, must stay below {FLOAT32_EXACT}")
        matrix = weight.float().t().contiguous()
        largest_output = float((largest * scale.double()).max())
        return ExactLinear(matrix, bias.float(), positive(scale, "scale"), largest_output)


class PreparedNorm(NamedTuple):
    """What an `IntegerLayerNorm` computes with; float64.

    Attributes:
        epsilon: D^2 times what is added to the variance.
        gain: [D], D times the gain.
        bias: [D].
    """

    epsilon: Tensor
    gain: Tensor
    bias: Tensor


class IntegerLayerNorm(nn.Module):
    """LayerNorm of integers [..., D] to integers of at most `ACTIVATION_LIMIT`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.gain: Tensor
        self.bias: Tensor
        self.epsilon: Tensor
        self.register_buffer("gain", torch.ones(dim))
        self.register_buffer("bias", torch.zeros(dim))
        self.register_buffer("epsilon", torch.ones((), dtype=torch.int64))

    def prepare(self, input_limit: float) -> None:
        """Make ready for inputs of at most `input_limit`; InexactError if a sum could be rounded."""
        if not 0 < int(self.epsilon) < FLOAT64_EXACT // 4:
            raise InexactError(f"epsilon must be 1...{FLOAT64_EXACT // 4}, got {int(self.epsilon)}")
        if not (self.dim * (input_limit + 1)) ** 2 < FLOAT64_EXACT // 2:
            raise InexactError(f"sums over {self.dim} squares of up to {input_limit:.0f} might be rounded")
        gain, bias = finite(self.gain, "gain").double() * self.dim, finite(self.bias, "bias").double()
        self.prepared = PreparedNorm(self.epsilon.double(), gain, bias)

    def forward(self, values: Tensor) -> Tensor:
        """Float64 integers [..., D], overwritten, to `gain * (x - mean) / sqrt(var + epsilon) + bias`, rounded."""
        total = values.sum(dim=-1, keepdim=True)
        squares = (values * values).sum(dim=-1, keepdim=True)
        # D^2 (var + epsilon): integers below 2^53, so that a fused multiply-add changes nothing.
        spread = (
            torch.add(self.prepared.epsilon, squares, alpha=self.dim).addcmul_(total, total, value=-1).sqrt_()
        )
        # Times the reciprocal, as a GPU divides by a number in this way, and a CPU does not.
        values.sub_(total.mul_(1.0 / self.dim)).div_(spread)
        return (
            values.mul_(self.prepared.gain)
            .add_(self.prepared.bias)
            .round_()
            .clamp_(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        )


class TableSpec(NamedTuple):
    """A table of exponentials: entry i is `peak * exp(-i / steps)`, rounded.

    Attributes:
        peak: entry 0.
        floor: the last entry and the least of all.
        steps: entries per factor of e.
    """

    peak: int
    floor: int
    steps: int

    @property
    def size(self) -> int:
        """Up to the entry that rounds to the floor."""
        return math.ceil(self.steps * math.log(self.peak / max(self.floor, 0.5))) + 1


def exponential_table(spec: TableSpec) -> Tensor:
    """int32 [spec.size]; to be made once and kept, as exp may differ in the last bit elsewhere."""
    entries = spec.peak * torch.exp(-torch.arange(spec.size, dtype=torch.float64) / spec.steps)
    entries = entries.round().clamp(min=spec.floor).to(torch.int32)
    entries[-1] = spec.floor
    return entries


def look_up(table: Tensor, places: Tensor) -> Tensor:
    """Entries of `table` [T] at floor(places), from 0 to beyond the end, which gives the last; overwrites `places`."""
    indices = places.clamp_(max=table.shape[0] - 1).to(torch.int32)
    return torch.index_select(table, 0, indices.view(-1)).view(places.shape)


def positive(values: Tensor, name: str) -> Tensor:
    """The values; InexactError unless all are positive, finite and no subnormal numbers lie near."""
    if not bool(((values > 1e-30) & (values < 1e30)).all()):
        raise InexactError(f"every {name} must lie between 1e-30 and 1e30")
    return values.float()


def finite(values: Tensor, name: str) -> Tensor:
    """The values; InexactError unless all are finite."""
    if not bool(values.isfinite().all()):
        raise InexactError(f"every {name} must be finite")
    return values
