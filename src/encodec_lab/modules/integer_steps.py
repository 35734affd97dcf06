"""Integer layers for one frame after the other, on the CPU: what `forward` of the same layers gives, to the bit.

A frame is little work for many operations, so what an operation costs by itself decides. NumPy's cost a third of
torch's. The products read their weights from float16, which holds 8-bit integers exactly and halves the memory that has
to pass by for every frame; they are summed up in float32, as those of `ExactLinear`.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    ExactLinear,
    IntegerLayerNorm,
    exact_products,
)
from encodec_lab.modules.integer_transformer import IntegerTransformerLayer

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_CPU = torch.device("cpu")
_LIMIT = np.float32(ACTIVATION_LIMIT)
_CHECKED_BATCH_SIZES = (*range(1, 17), 24, 48)


class LinearStep:
    """An `ExactLinear` for few activations at a time.

    Args:
        linear: prepared.
        input_limit: the largest magnitude of an activation.
    """

    def __init__(self, linear: ExactLinear, input_limit: int) -> None:
        self._matrix, self._bias = linear.matrix.cpu(), linear.bias.cpu()
        self._scale: Floats = linear.scale.cpu().numpy()
        self._packed = _packed(self._matrix, self._bias, input_limit)

    def __call__(self, activations: Floats) -> Floats:
        """Integers [N, in_features] to [N, rows], not rounded; within `exact_products`."""
        given = torch.from_numpy(activations)
        if self._packed is None:
            product = torch.addmm(self._bias, given, self._matrix)
        else:
            product = torch.ops.quantized.linear_dynamic_fp16(given, self._packed)
        result: Floats = product.numpy()
        result *= self._scale
        return result


class KeyValueCache:
    """Keys and values of one layer's past, in any order: attention does not mind, as its sums are exact.

    Args:
        batch_size: recordings B.
        capacity: frames P that are kept.
        keys: [H * D / H], of a step of zeros, which is what each recording starts from.
        values: likewise.
        num_heads: H.
    """

    def __init__(self, batch_size: int, capacity: int, keys: Floats, values: Floats, num_heads: int) -> None:
        shape = (batch_size, num_heads, len(keys) // num_heads, capacity)
        # The frames last, so that they are what an inner loop passes over.
        self.keys: Floats = np.empty(shape, dtype=np.float32)
        self.values: Floats = np.empty(shape, dtype=np.float32)
        self.keys[:] = keys.reshape(num_heads, -1, 1)
        self.values[:] = values.reshape(num_heads, -1, 1)

    def keep(self, batch_size: int) -> None:
        """Go on with the first so many recordings alone."""
        self.keys, self.values = self.keys[:batch_size], self.values[:batch_size]


class NormStep:
    """An `IntegerLayerNorm` for few activations at a time."""

    def __init__(self, norm: IntegerLayerNorm) -> None:
        epsilon, gain, bias = (tensor.cpu().numpy() for tensor in norm.prepared)
        self._dim = np.float64(norm.dim)
        self._epsilon = np.float64(epsilon)
        self._gain: Doubles = gain
        self._bias: Doubles = bias

    def __call__(self, values: Doubles) -> Doubles:
        """Integers [N, D], overwritten, to the same."""
        total = np.add.reduce(values, axis=-1, keepdims=True)
        spread = np.add.reduce(values * values, axis=-1, keepdims=True)
        spread *= self._dim
        spread += self._epsilon
        spread -= total * total
        np.sqrt(spread, out=spread)
        total *= 1.0 / self._dim
        values -= total
        values /= spread
        values *= self._gain
        values += self._bias
        return _rounded(values, _LIMIT)


class LayerStep:
    """An `IntegerTransformerLayer` that is prepared, for one frame of several recordings.

    Args:
        layer: on any device.
        exponentials: the attention table.
    """

    def __init__(self, layer: IntegerTransformerLayer, exponentials: torch.Tensor) -> None:
        prepared = layer.prepared
        self._num_heads, self._head_dim = layer.num_heads, layer.head_dim
        self._projection = LinearStep(prepared.projection, layer.projection.input_limit)
        self._attended = LinearStep(prepared.attended, layer.attended.input_limit)
        self._linear1 = LinearStep(prepared.linear1, layer.linear1.input_limit)
        self._linear2 = LinearStep(prepared.linear2, layer.linear2.input_limit)
        self._norm1, self._norm2 = NormStep(layer.norm1), NormStep(layer.norm2)
        self._score_scale: Floats = prepared.score_scale.cpu().numpy().reshape(-1, 1)  # [H, 1]
        self._value_gain = np.float32(prepared.value_gain)
        self._total_weight = np.float32(prepared.total_weight)
        self._limit = np.float32(layer.limit)
        self._exponentials = LookUp(exponentials)
        self._gelu = LookUp(prepared.gelu)

    def first_cache(self, batch_size: int, capacity: int) -> KeyValueCache:
        """What the layer has seen before the first frame: one step of zeros, as in the float model."""
        zeros = np.zeros((1, self._num_heads * self._head_dim), dtype=np.float32)
        _, keys, values = _rounded(self._projection(zeros), self._limit).reshape(3, -1)
        return KeyValueCache(batch_size, capacity, keys, values, self._num_heads)

    def __call__(self, latent: Floats, cache: KeyValueCache, slot: int, num_seen: int) -> Floats:
        """Transform integers [B, D], which enter the cache at `slot`; its first `num_seen` frames are looked at."""
        shape = (len(latent), 3, self._num_heads, self._head_dim)
        projected = _rounded(self._projection(latent), self._limit).reshape(shape)
        cache.keys[..., slot] = projected[:, 1]
        cache.values[..., slot] = projected[:, 2]
        scores = np.matmul(projected[:, 0, :, None], cache.keys[..., :num_seen])[:, :, 0]  # [B, H, P]
        distances = np.subtract(np.maximum.reduce(scores, axis=-1, keepdims=True), scores, out=scores)
        distances *= self._score_scale
        weights = self._exponentials(distances)
        weights *= self._total_weight / np.add.reduce(weights, axis=-1, keepdims=True)
        np.floor(weights, out=weights)
        means = np.matmul(cache.values[..., :num_seen], weights[..., None])[..., 0]  # [B, H, D / H]
        means /= np.add.reduce(weights, axis=-1, keepdims=True)
        means *= self._value_gain
        mixed = _rounded(means, _LIMIT).reshape(latent.shape)
        attended = np.rint(self._attended(mixed))
        attended += latent
        middle = self._norm1(attended.astype(np.float64)).astype(np.float32)
        places = self._linear1(middle)
        np.maximum(places, np.float32(0), out=places)
        widened = np.rint(self._linear2(self._gelu(places)))
        widened += middle
        return self._norm2(widened.astype(np.float64)).astype(np.float32)


class LookUp:
    """`look_up` in one table [T], whose entries are kept in the type that they come in."""

    def __init__(self, table: torch.Tensor) -> None:
        self._table: NDArray[Any] = table.cpu().numpy()
        self._last = np.float32(len(self._table) - 1)

    def __call__(self, places: Floats) -> NDArray[Any]:
        """Entries at floor(places), from 0 to beyond the end, which gives the last; overwrites `places`."""
        np.minimum(places, self._last, out=places)
        return np.take(self._table, places.astype(np.intp), mode="clip")


def _rounded(values: NDArray[Any], limit: np.float32) -> NDArray[Any]:
    """Integers of at most `limit`, in place."""
    np.rint(values, out=values)
    np.minimum(values, limit, out=values)
    np.maximum(values, -limit, out=values)
    return values


def _packed(matrix: torch.Tensor, bias: torch.Tensor, input_limit: int) -> Any:
    """The weights as FBGEMM wants them; None where torch has it not, or where it would round a sum."""
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(matrix.t().contiguous(), bias)
        draws = torch.Generator().manual_seed(0)
        with exact_products(_CPU):
            for batch_size in _CHECKED_BATCH_SIZES:
                shape = (batch_size, len(matrix))
                activations = torch.randint(-input_limit, input_limit + 1, shape, generator=draws).float()
                product = torch.ops.quantized.linear_dynamic_fp16(activations, packed)
                if not torch.equal(product, torch.addmm(bias, activations, matrix)):
                    return None
    except (RuntimeError, AttributeError):
        return None
    return packed
