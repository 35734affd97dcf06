"""A trained language model to integers."""

from collections import defaultdict
from contextlib import ExitStack
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_lab.models.integer_lm import FREQUENCY_TABLE, IntegerLM, IntegerLMConfig
from encodec_lab.models.language_model import LMModel
from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    FLOAT32_EXACT,
    WEIGHT_LIMIT,
    IntegerLayerNorm,
    IntegerLinear,
    exponential_table,
)
from encodec_lab.modules.integer_transformer import ATTENTION_TABLE, GELU_TABLE_SIZE, IntegerTransformerLayer
from encodec_lab.modules.transformer import StreamingTransformerLayer, sine_positions

# Frames until the positions start over: 13 s at 150 frames a second, more than training shows at once.
DEFAULT_MAX_POSITIONS = 2048
# Room for activations beyond those of the calibration; what exceeds it is clipped.
_HEADROOM = 1.2
_GELU_LOWEST = -6.0  # below, GELU is zero to 1e-8

# What an activation was at most, by layer and name: a scalar or one for each head.
_Ranges = defaultdict[tuple[int, str], Tensor]


@torch.no_grad()
def to_integer_lm(lm: LMModel, codes: Tensor, max_positions: int = DEFAULT_MAX_POSITIONS) -> IntegerLM:
    """The integer form of a language model.

    Args:
        lm: in evaluation mode.
        codes: [B, K, L] int64, typical of what is to be coded, to see the ranges of the activations with.
        max_positions: frames until the positions start over.

    Raises:
        ValueError: there are no codes, or the model gives values that are not finite.
    """
    if codes.numel() == 0:
        raise ValueError(f"conversion needs codes to see the activations with, got shape {list(codes.shape)}")
    ranges = _activation_ranges(lm, codes)
    if not all(bool(largest.isfinite().all()) for largest in ranges.values()):
        raise ValueError("the language model gives values that are not finite; it cannot be converted")
    integer = IntegerLM(IntegerLMConfig(lm.config, max_positions)).to(codes.device)
    integer.attention_table.copy_(exponential_table(ATTENTION_TABLE))
    integer.frequency_table.copy_(exponential_table(FREQUENCY_TABLE))
    embeddings = torch.stack([table.weight for table in _embeddings(lm.emb)])
    embedding_unit = _unit(embeddings.abs().max())
    integer.embedding.copy_((embeddings / embedding_unit).round())
    unit = _unit(ranges[0, "input"])
    _fill_norm(integer.norm_in, lm.transformer.norm_in, embedding_unit, unit)
    steps = torch.arange(max_positions, device=codes.device)
    integer.positions.copy_((sine_positions(steps, lm.config.dim, lm.config.max_period) / unit).round())
    for place, (layer, original) in enumerate(
        zip(integer.transformer_layers(), lm.transformer.layers, strict=True)
    ):
        assert isinstance(original, StreamingTransformerLayer)
        of_layer = {name: largest for (index, name), largest in ranges.items() if index == place}
        unit = _fill_layer(layer, original, unit, of_layer)
    heads = [head for head in lm.linears if isinstance(head, nn.Linear)]
    weight = torch.cat([head.weight for head in heads])
    bias = torch.cat([head.bias for head in heads])
    _fill_linear(integer.heads, weight, bias, unit, torch.tensor(1 / FREQUENCY_TABLE.steps))
    if lm.config.within_frame:
        tables = [table.weight for table in _embeddings(lm.frame_emb)]
        integer.frame_embedding.copy_((torch.stack(tables) / unit).round().clamp(-(1 << 15), (1 << 15) - 1))
    integer.prepare()
    return integer.eval()


def _activation_ranges(lm: LMModel, codes: Tensor) -> _Ranges:
    """What every activation to be rounded is at most, over these codes."""
    ranges: _Ranges = defaultdict(lambda: torch.zeros((), device=codes.device))

    def see(place: int, name: str, largest: Tensor) -> None:
        ranges[place, name] = torch.maximum(ranges[place, name], largest)

    def see_layer(place: int, layer: nn.Module, inputs: tuple[Tensor, ...], latent: Tensor) -> None:
        assert isinstance(layer, StreamingTransformerLayer)
        see(place, "input", inputs[0].abs().max())
        see(place, "output", latent.abs().max())
        queries, keys, values, attended = _attention(layer, *inputs)
        see(place, "queries", queries.abs().amax(dim=(0, 2, 3)))
        see(place, "keys", keys.abs().amax(dim=(0, 2, 3)))
        see(place, "values", values.abs().max())
        see(place, "attended", attended.abs().max())

    def see_present(place: int, present: Tensor, layer: nn.Module, inputs: object, latent: Tensor) -> None:
        for k, table in enumerate(_embeddings(lm.frame_emb)[: present.shape[1] - 1]):
            latent = latent + table(present[:, k])
            see(place, "output", latent.abs().max())

    def see_output(place: int, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        see(place, name, output.abs().max() if name == "middle" else output.max())

    for recording in codes[:, None]:
        with ExitStack() as hooks:
            for place, layer in enumerate(lm.transformer.layers):
                assert isinstance(layer, StreamingTransformerLayer)
                hooks.enter_context(layer.register_forward_hook(partial(see_layer, place)))
                hooks.enter_context(layer.norm1.register_forward_hook(partial(see_output, place, "middle")))
                hooks.enter_context(
                    layer.linear1.register_forward_hook(partial(see_output, place, "widened"))
                )
            present = None
            if lm.config.within_frame:
                present = recording
                hooks.enter_context(layer.register_forward_hook(partial(see_present, place, recording)))
            lm.logits(F.pad(1 + recording[..., :-1], (1, 0)), present=present)
    return ranges


def _attention(
    layer: StreamingTransformerLayer, latent: Tensor, past: Tensor, hidden: Tensor
) -> list[Tensor]:
    """Queries, keys, values and what attention makes of them; each [B, H, *, D / H]."""
    attention = layer.self_attn
    assert attention.in_proj_weight is not None
    everything = torch.cat([past, latent], dim=1)
    projected = F.linear(everything, attention.in_proj_weight, attention.in_proj_bias)
    shape = (*everything.shape[:2], 3, attention.num_heads, -1)
    queries, keys, values = projected.view(shape).permute(2, 0, 3, 1, 4)
    queries = queries[:, :, past.shape[1] :]
    return [queries, keys, values, F.scaled_dot_product_attention(queries, keys, values, attn_mask=~hidden)]


def _fill_layer(
    layer: IntegerTransformerLayer,
    original: StreamingTransformerLayer,
    unit: float,
    ranges: dict[str, Tensor],
) -> float:
    """Convert one layer whose input counts in `unit`; the unit of its output."""
    attention = original.self_attn
    assert attention.in_proj_weight is not None
    query_units, key_units, value_unit = (
        (_HEADROOM * ranges[name] / layer.limit).clamp(min=1e-9) for name in ("queries", "keys", "values")
    )
    units = torch.cat([query_units, key_units, value_unit.expand(layer.num_heads)])
    units = units.repeat_interleave(layer.head_dim)
    _fill_linear(layer.projection, attention.in_proj_weight, attention.in_proj_bias, unit, units)
    layer.score_scale.copy_(query_units * key_units * (ATTENTION_TABLE.steps / layer.head_dim**0.5))
    attended_unit, middle_unit, output_unit = (
        _unit(ranges[name]) for name in ("attended", "middle", "output")
    )
    layer.value_gain.copy_(value_unit / attended_unit)
    residual_unit = torch.tensor(unit)
    _fill_linear(
        layer.attended, attention.out_proj.weight, attention.out_proj.bias, attended_unit, residual_unit
    )
    _fill_norm(layer.norm1, original.norm1, unit, middle_unit)
    highest = max(_HEADROOM * float(ranges["widened"]), 1.0)
    places = torch.linspace(_GELU_LOWEST, highest, GELU_TABLE_SIZE, dtype=torch.float64)
    gelu_unit = highest / layer.linear2.input_limit
    layer.gelu.copy_((F.gelu(places) / gelu_unit).round())
    # Looking up rounds down, so half a place is added.
    place_unit = (highest - _GELU_LOWEST) / (GELU_TABLE_SIZE - 1)
    bias = original.linear1.bias - _GELU_LOWEST + place_unit / 2
    _fill_linear(layer.linear1, original.linear1.weight, bias, middle_unit, torch.tensor(place_unit))
    _fill_linear(
        layer.linear2, original.linear2.weight, original.linear2.bias, gelu_unit, torch.tensor(middle_unit)
    )
    _fill_norm(layer.norm2, original.norm2, middle_unit, output_unit)
    return output_unit


def _fill_linear(
    linear: IntegerLinear, weight: Tensor, bias: Tensor, input_unit: float, output_units: Tensor
) -> None:
    """Round weights [rows, in] to units of their row, fine enough for 7 bits and coarse enough for exact sums."""
    weight, bias = weight.double(), bias.double() / input_unit
    units = torch.maximum(weight.abs().amax(dim=1) / WEIGHT_LIMIT, bias.abs() / (FLOAT32_EXACT // 4))
    units.clamp_(min=1e-12)
    while True:
        rounded, offset = (weight / units[:, None]).round(), (bias / units).round()
        share = (rounded.abs().sum(dim=1) * linear.input_limit + offset.abs()) / (FLOAT32_EXACT - 1)
        if float(share.max()) <= 1:
            break
        units *= torch.where(share > 1, 1.001 * share, 1.0)
    linear.weight.copy_(rounded)
    linear.bias.copy_(offset)
    linear.scale.copy_(units * input_unit / output_units)


def _fill_norm(norm: IntegerLayerNorm, original: nn.LayerNorm, input_unit: float, output_unit: float) -> None:
    norm.gain.copy_(original.weight / output_unit)
    norm.bias.copy_(original.bias / output_unit)
    norm.epsilon.fill_(max(1, round(original.eps * (norm.dim / input_unit) ** 2)))


def _unit(largest: Tensor) -> float:
    """What one step of an activation is worth, if its largest magnitude is to fit."""
    return max(_HEADROOM * float(largest) / ACTIVATION_LIMIT, 1e-9)


def _embeddings(tables: nn.ModuleList) -> list[nn.Embedding]:
    return [table for table in tables if isinstance(table, nn.Embedding)]
