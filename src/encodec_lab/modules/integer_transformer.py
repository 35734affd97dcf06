"""The transformer of `modules/transformer.py` in integers: the same bits for a whole sequence and step by step.

Every activation is an integer that stands for a real number in units of its own; the units are folded into the scales
of the linear layers. `integer_arithmetic` says why that is exact.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    FLOAT32_EXACT,
    ExactLinear,
    InexactError,
    IntegerLayerNorm,
    IntegerLinear,
    TableSpec,
    look_up,
    positive,
)

# Attention weights before they are normalised; their sum over `MAX_PAST_CONTEXT` steps and the present one is exact.
ATTENTION_TABLE = TableSpec(peak=1 << 14, floor=0, steps=128)
MAX_PAST_CONTEXT = FLOAT32_EXACT // ATTENTION_TABLE.peak - 2
GELU_TABLE_SIZE = 4096


class PreparedLayer(NamedTuple):
    """What an `IntegerTransformerLayer` computes with, in the forms that it takes.

    Attributes:
        projection: to queries, keys and values.
        attended: of the heads' results.
        linear1: to places in the GELU table.
        linear2: back from it.
        score_scale: [H, 1, 1] float32.
        value_gain: of the means.
        total_weight: so much weight, in all, can be shared out.
        gelu: float32.
    """

    projection: ExactLinear
    attended: ExactLinear
    linear1: ExactLinear
    linear2: ExactLinear
    score_scale: Tensor
    value_gain: float
    total_weight: float
    gelu: Tensor


class LayerCache(NamedTuple):
    """Keys and values of one layer's past, in any order: attention does not mind, as its sums are exact.

    Attributes:
        keys: [B * H, P, D / H] float32.
        values: [B * H, P, D / H + 1] float32; the last column is one, and sums the weights.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, keys: Tensor, values: Tensor) -> "LayerCache":
        """Of keys and values [B * H, P, D / H]."""
        return cls(keys, nn.functional.pad(values, (0, 1), value=1.0))


def projection_limit(head_dim: int) -> int:
    """The largest magnitude of queries, keys and values whose products sum up exactly."""
    return min(ACTIVATION_LIMIT, math.isqrt((FLOAT32_EXACT - 1) // head_dim))


def gelu_limit(feedforward_dim: int) -> int:
    """The largest magnitude after GELU that leaves the weights 7 bits: these average a quarter of their largest."""
    return min(ACTIVATION_LIMIT, FLOAT32_EXACT // (32 * feedforward_dim))


def longest_past_context(head_dim: int) -> int:
    """The most frames of the past that attention can look at without a sum that might be rounded."""
    return int(min(MAX_PAST_CONTEXT, _total_weight(projection_limit(head_dim)) / 2))


def _total_weight(limit: int) -> float:
    """So much weight, in all, can be shared out; 1 % of it is room for the rounding of the shares."""
    return float(0.99 * FLOAT32_EXACT // limit)


class IntegerTransformerLayer(nn.Module):
    """`StreamingTransformerLayer` in integers.

    Args:
        dim: D.
        num_heads: H, a divisor of `dim`.
        feedforward_dim: width of the feed-forward block.
    """

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.limit = projection_limit(self.head_dim)
        self.projection = IntegerLinear(dim, 3 * dim, ACTIVATION_LIMIT)  # queries, keys, values
        self.attended = IntegerLinear(dim, dim, ACTIVATION_LIMIT)
        self.norm1 = IntegerLayerNorm(dim)
        self.linear1 = IntegerLinear(dim, feedforward_dim, ACTIVATION_LIMIT)
        self.linear2 = IntegerLinear(feedforward_dim, dim, gelu_limit(feedforward_dim))
        self.norm2 = IntegerLayerNorm(dim)
        self.score_scale: Tensor
        self.value_gain: Tensor
        self.gelu: Tensor
        self.register_buffer("score_scale", torch.ones(num_heads))
        self.register_buffer("value_gain", torch.ones(()))
        self.register_buffer("gelu", torch.zeros(GELU_TABLE_SIZE, dtype=torch.int16))

    def prepare(self, past_context: int) -> None:
        """Make ready for use; InexactError if a sum could be rounded."""
        if past_context > longest_past_context(self.head_dim):
            raise InexactError(f"attention over {past_context} steps might be rounded")
        if int(self.gelu.long().abs().max()) > self.linear2.input_limit:
            raise InexactError(f"the GELU table must stay within {self.linear2.input_limit}")
        self.prepared = PreparedLayer(
            projection=self.projection.prepare(),
            attended=self.attended.prepare(),
            linear1=self.linear1.prepare(),
            linear2=self.linear2.prepare(),
            score_scale=positive(self.score_scale, "score_scale").view(-1, 1, 1),
            value_gain=float(positive(self.value_gain, "value_gain")),
            total_weight=_total_weight(self.limit),
            gelu=self.gelu.float(),
        )
        self.norm1.prepare(ACTIVATION_LIMIT + self.prepared.attended.largest_output)
        self.norm2.prepare(ACTIVATION_LIMIT + self.prepared.linear2.largest_output)

    def project(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [B * H, S, D / H], of a latent [B, S, D]."""
        num_items, num_steps, dim = latent.shape
        projected = (
            self.prepared.projection.apply(latent.reshape(-1, dim)).round_().clamp_(-self.limit, self.limit)
        )
        shape = (num_items, num_steps, 3, self.num_heads, self.head_dim)
        heads = projected.view(shape).permute(2, 0, 3, 1, 4)  # [3, B, H, S, D / H]
        queries, keys, values = heads.reshape(3, -1, num_steps, self.head_dim)
        return queries, keys, values

    def forward(
        self, latent: Tensor, queries: Tensor, cache: LayerCache, table: Tensor, hidden: Tensor | None
    ) -> Tensor:
        """Transform integers [B, S, D].

        Args:
            latent: float32.
            queries: of the latent, as `project` gives them.
            cache: what they may look at.
            table: exponentials, float32.
            hidden: [S, P], True where a step may not look.
        """
        scores = torch.bmm(queries, cache.keys.transpose(1, 2))  # [B * H, S, P]
        if hidden is not None:
            scores.masked_fill_(hidden, -math.inf)
        distances = torch.sub(scores.amax(dim=-1, keepdim=True), scores)
        distances.view(-1, self.num_heads, *scores.shape[1:]).mul_(self.prepared.score_scale)
        weights = look_up(table, distances)
        total = weights.sum(dim=-1, keepdim=True)
        weights.mul_(torch.div(self.prepared.total_weight, total)).floor_()
        sums = torch.bmm(weights, cache.values)
        means = sums[..., :-1].div_(sums[..., -1:]).mul_(self.prepared.value_gain).round_()
        means.clamp_(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        shape = (latent.shape[0], self.num_heads, latent.shape[1], self.head_dim)
        mixed = means.view(shape).transpose(1, 2).reshape(-1, latent.shape[-1])
        flat = latent.reshape(mixed.shape)
        flat = self.norm1(self.prepared.attended.apply(mixed).round_().add_(flat).double()).float()
        places = self.prepared.linear1.apply(flat).clamp_(min=0)
        widened = self.prepared.linear2.apply(look_up(self.prepared.gelu, places)).round_().add_(flat)
        result: Tensor = self.norm2(widened.double()).float()
        return result.view(latent.shape)
