"""A causal transformer with a window of past context, for whole sequences or a step at a time."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What each layer remembers of the past, oldest first: its inputs [B, P, D], P at most the past context.
TransformerStates = tuple[Tensor, ...]


class TransformerOutput(NamedTuple):
    """What `StreamingTransformer` gives.

    Attributes:
        latent: [B, S, D].
        states: to be passed in with the steps that follow.
        offset: position of the step that follows.
    """

    latent: Tensor
    states: TransformerStates
    offset: int


class StreamingTransformerLayer(nn.Module):
    """Self-attention and a GELU feed-forward block, each followed by its LayerNorm, as `nn.TransformerEncoderLayer`."""

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.linear1 = nn.Linear(dim, feedforward_dim)
        self.linear2 = nn.Linear(feedforward_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, latent: Tensor, past: Tensor, hidden: Tensor) -> Tensor:
        """Transform [B, S, D] that follows `past` [B, P, D]; `hidden` [S, P + S] is True where a step may not look."""
        # Projected anew at every step: keys and values kept from earlier steps differ in the last bit, because a
        # matrix product rounds by its shape, and streams must be those of the reference to the bit.
        keys = torch.cat([past, latent], dim=1)
        attended = self.self_attn(latent, keys, keys, attn_mask=hidden, need_weights=False)[0]
        latent = self.norm1(latent + attended)
        result: Tensor = self.norm2(latent + self.linear2(F.gelu(self.linear1(latent))))
        return result


class StreamingTransformer(nn.Module):
    """LayerNorm, sinusoidal positions, then causal layers that see `past_context` steps back.

    The first step looks back on one frame of zeros, as in the reference. The result of steps taken one by one equals
    that of all at once up to rounding.

    Args:
        dim: D, even.
        num_heads: a divisor of `dim`.
        num_layers: at least one.
        feedforward_dim: width of the feed-forward blocks.
        past_context: steps that a step sees besides itself; each layer adds as many to what the whole sees.
        max_period: longest period of the position's sines, over 2 pi, in steps.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_layers: int,
        feedforward_dim: int,
        past_context: int,
        max_period: float,
    ) -> None:
        super().__init__()
        self.past_context = past_context
        self.max_period = max_period
        self.norm_in = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(
            [StreamingTransformerLayer(dim, num_heads, feedforward_dim) for _ in range(num_layers)]
        )

    def forward(
        self, latent: Tensor, states: TransformerStates | None = None, offset: int = 0
    ) -> TransformerOutput:
        """Transform [B, S, D], whose first step is at position `offset` and follows what `states` remember."""
        if states is None:
            states = (torch.zeros_like(latent[:, :1]),) * len(self.layers)
        num_steps, num_past = latent.shape[1], states[0].shape[1]
        hidden = hidden_keys(num_steps, num_past, self.past_context, latent.device)
        positions = offset + torch.arange(num_steps, device=latent.device)
        latent = self.norm_in(latent) + sine_positions(positions, latent.shape[-1], self.max_period)
        new_states = []
        for layer, past in zip(self.layers, states, strict=True):
            new_states.append(torch.cat([past, latent], dim=1)[:, -self.past_context :])
            latent = layer(latent, past, hidden)
        return TransformerOutput(latent, tuple(new_states), offset + num_steps)


def sine_positions(positions: Tensor, dim: int, max_period: float) -> Tensor:
    """Cosines, then sines, of positions [S] at dim / 2 frequencies from 1 to 1 / max_period: [S, dim]."""
    num_frequencies = dim // 2
    exponents = torch.arange(num_frequencies, device=positions.device) / (num_frequencies - 1)
    phases = positions[:, None] / max_period**exponents  # [S, dim / 2]
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


def hidden_keys(num_steps: int, num_past: int, past_context: int, device: torch.device) -> Tensor:
    """Mask [S, P + S], True where a key lies after the step or more than `past_context` before it."""
    steps = torch.arange(num_past, num_past + num_steps, device=device)
    distance = steps[:, None] - torch.arange(num_past + num_steps, device=device)
    return (distance < 0) | (distance > past_context)
