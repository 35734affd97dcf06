"""The language model in integers: frequency tables for entropy coding that are the same on every machine."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.models.config import config_from_dict, is_count
from encodec_lab.models.identity import module_identity
from encodec_lab.models.language_model import LMConfig
from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    ExactLinear,
    InexactError,
    IntegerLayerNorm,
    IntegerLinear,
    TableSpec,
    exact_products,
    look_up,
)
from encodec_lab.modules.integer_transformer import ATTENTION_TABLE, IntegerTransformerLayer, LayerCache
from encodec_lab.modules.transformer import hidden_keys

# Frequencies from the likeliest symbol's 2^20 down to 1; so the tables of 2^11 symbols sum up to 2^31 at most.
FREQUENCY_TABLE = TableSpec(peak=1 << 20, floor=1, steps=128)
MAX_CODEBOOK_SIZE = 1 << 11
# Of one pass over a whole recording.
_CHUNK_FRAMES = 256
_CHUNK_FREQUENCIES = 1 << 19

# Codebooks first ... last - 1, whose tables are computed at once.
Group = tuple[int, int]


@dataclass(frozen=True)
class IntegerLMConfig:
    """All that builds an integer language model; plain JSON values only.

    Attributes:
        architecture: of the language model that was converted.
        max_positions: frames until the positions start over.
    """

    architecture: LMConfig
    max_positions: int

    def __post_init__(self) -> None:
        if not is_count(self.max_positions, 1):
            raise ValueError(f"max_positions must be an integer of at least 1, got {self.max_positions!r}")
        if self.codebook_size > MAX_CODEBOOK_SIZE:
            raise ValueError(
                f"an integer language model takes codebooks of up to {MAX_CODEBOOK_SIZE} entries, got"
                f" {self.codebook_size}"
            )

    @property
    def num_codebooks(self) -> int:
        """Of the codec at its highest bandwidth."""
        return self.architecture.num_codebooks

    @property
    def codebook_size(self) -> int:
        """Entries of a codebook."""
        return self.architecture.codebook_size

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; `from_dict` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "IntegerLMConfig":
        """Build from `to_dict`'s values; ValueError names a field that is unknown, missing or impossible."""
        architecture = values.get("architecture")
        if isinstance(architecture, Mapping):
            values = {**values, "architecture": LMConfig.from_dict(architecture)}
        elif architecture is not None:
            raise ValueError(f"architecture must hold the settings of a language model, got {architecture!r}")
        return config_from_dict(cls, values, "integer language model")


class Intervals(NamedTuple):
    """What a range coder needs to know of symbols that are at hand; each [B, L, K] int64.

    Attributes:
        starts: sums of the frequencies of all lower codes.
        frequencies: of the codes.
        totals: sums of all frequencies.
    """

    starts: Tensor
    frequencies: Tensor
    totals: Tensor


class IntegerLM(nn.Module):
    """Frequency tables of the codes of each latent frame, given the codes of the frames before it.

    The tensors are integers and a few scales; `integer_conversion.to_integer_lm` fills them. Everything between them
    and the tables is exact (`modules/integer_arithmetic.py`), so the tables do not depend on processor, device, threads
    or batch, and are the same for a whole recording (`intervals`) and frame by frame (`IntegerLMStream`).
    """

    def __init__(self, config: IntegerLMConfig) -> None:
        super().__init__()
        self.config = config
        shape = config.architecture
        self.embedding: Tensor
        self.positions: Tensor
        self.attention_table: Tensor
        self.frequency_table: Tensor
        self.past_context_frames: Tensor
        embeddings = torch.zeros(shape.num_codebooks, 1 + shape.codebook_size, shape.dim, dtype=torch.int16)
        self.register_buffer("embedding", embeddings)
        self.register_buffer("positions", torch.zeros(config.max_positions, shape.dim, dtype=torch.int16))
        self.register_buffer("attention_table", torch.zeros(ATTENTION_TABLE.size, dtype=torch.int32))
        self.register_buffer("frequency_table", torch.zeros(FREQUENCY_TABLE.size, dtype=torch.int32))
        # The one setting that no tensor's shape shows; as a tensor it is part of the identity.
        self.register_buffer(
            "past_context_frames", torch.tensor(shape.past_context_frames, dtype=torch.int32)
        )
        self.norm_in = IntegerLayerNorm(shape.dim)
        self.layers = nn.ModuleList(
            [
                IntegerTransformerLayer(shape.dim, shape.num_heads, shape.feedforward_dim)
                for _ in range(shape.num_layers)
            ]
        )
        self.heads = IntegerLinear(shape.dim, shape.num_codebooks * shape.codebook_size, ACTIVATION_LIMIT)
        if shape.within_frame:
            self.frame_embedding: Tensor
            self.register_buffer("frame_embedding", embeddings[1:, 1:].clone())
        self._dtypes = {name: tensor.dtype for name, tensor in self.state_dict().items()}
        self._prepared_from: tuple[str, torch.device] | None = None

    def prepare(self) -> None:
        """Make ready for use, unless that was done since the tensors last changed.

        Raises:
            InexactError: the tensors would not give the same tables on every machine, or do not fit the configuration.
        """
        state = (module_identity(self), self.embedding.device)
        if state == self._prepared_from:
            return
        for name, tensor in self.state_dict().items():
            if tensor.dtype != self._dtypes[name]:
                raise InexactError(f"tensor {name} must be {self._dtypes[name]}, got {tensor.dtype}")
        past_context = self.config.architecture.past_context_frames
        if int(self.past_context_frames) != past_context:
            raise InexactError(
                f"the tensors look {int(self.past_context_frames)} frames back, the configuration {past_context}"
            )
        self._check_table(self.attention_table, ATTENTION_TABLE)
        self._check_table(self.frequency_table, FREQUENCY_TABLE)
        self.norm_in.prepare(float(self.embedding.long().abs().amax(dim=(1, 2)).sum()))
        for layer in self.transformer_layers():
            layer.prepare(past_context)
        self._positions = self.positions.double()
        self.attention_exponentials = self.attention_table.float()
        self._heads: dict[Group, ExactLinear] = {}
        self._prepared_from = state

    def groups(self, num_codebooks: int) -> list[Group]:
        """The codebooks, in the order of coding, in groups whose tables do not depend on each other."""
        if not 0 < num_codebooks <= self.config.num_codebooks:
            raise ValueError(
                f"the language model has {self.config.num_codebooks} codebooks, got codes of {num_codebooks}"
            )
        if self.config.architecture.within_frame:
            return [(k, k + 1) for k in range(num_codebooks)]
        return [(0, num_codebooks)]

    def intervals(self, codes: Tensor) -> Intervals:
        """Where codes [B, K, L] int64 lie in their tables, all at once; ValueError if the model has not as many."""
        self.prepare()
        _, num_codebooks, num_frames = codes.shape
        groups = self.groups(num_codebooks)
        with exact_products(codes.device):
            chunks = []
            step = max(1, _CHUNK_FREQUENCIES // (len(codes) * num_codebooks * self.config.codebook_size))
            first = 0
            for latent in self.latents(codes):
                for part in torch.split(latent, step, dim=1):
                    present = codes[..., first : first + part.shape[1]].transpose(1, 2)  # [B, S, K]
                    chunks.append(self._intervals_of(part, present, groups))
                    first += part.shape[1]
            assert first == num_frames
            return Intervals(*(torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True)))

    def cumulative(self, latent: Tensor, group: Group) -> Tensor:
        """Running sums of the frequencies, int64 [..., group, V], for latents [..., D]."""
        return self._frequencies(latent, group).cumsum(dim=-1)

    def condition(self, latent: Tensor, group: Group, codes: Tensor) -> Tensor:
        """The latents [..., D] for the group that follows one whose codes [..., group] are known."""
        if not self.config.architecture.within_frame or group[1] == self.config.num_codebooks:
            return latent
        return latent + self.frame_embedding[group[0]][codes[..., 0]]

    def embed(self, indices: Tensor, positions: Tensor) -> Tensor:
        """What the first layer gets, [B, S, D], for 1 + the codes [B, K, S] before the frames at positions [S]."""
        offsets = torch.arange(indices.shape[1], device=indices.device) * self.embedding.shape[1]
        rows = (indices.transpose(1, 2) + offsets).reshape(-1)
        found = torch.index_select(self.embedding.view(-1, self.embedding.shape[2]), 0, rows)
        summed = found.view(*indices.shape[::2], indices.shape[1], -1).sum(dim=2, dtype=torch.float64)
        here = torch.index_select(self._positions, 0, positions % self.config.max_positions)
        embedded: Tensor = self.norm_in(summed).add_(here).clamp_(-ACTIVATION_LIMIT, ACTIVATION_LIMIT).float()
        return embedded

    def transformer_layers(self) -> Iterator[IntegerTransformerLayer]:
        """The layers in order."""
        for layer in self.layers:
            assert isinstance(layer, IntegerTransformerLayer)
            yield layer

    def first_pasts(self, batch_size: int) -> list[LayerCache]:
        """What each layer has seen before the first frame: one step of zeros, as in the float model."""
        zeros = torch.zeros(batch_size, 1, self.config.architecture.dim, device=self.embedding.device)
        return [LayerCache.of(*layer.project(zeros)[1:]) for layer in self.transformer_layers()]

    def latents(self, codes: Tensor) -> Iterator[Tensor]:
        """What the tables of codes [B, K, L] follow from: [B, S, D], chunk by chunk, within `exact_products`."""
        past_context = self.config.architecture.past_context_frames
        indices = nn.functional.pad(1 + codes[..., :-1], (1, 0))
        pasts = self.first_pasts(len(codes))
        first = 0
        for chunk in torch.split(indices, _CHUNK_FRAMES, dim=2):
            num_frames = chunk.shape[2]
            positions = first + torch.arange(num_frames, device=codes.device)
            latent = self.embed(chunk, positions)
            hidden = hidden_keys(num_frames, pasts[0].keys.shape[1], past_context, codes.device)
            for place, layer in enumerate(self.transformer_layers()):
                queries, keys, values = layer.project(latent)
                present = LayerCache.of(keys, values)
                seen = LayerCache(
                    *(torch.cat(pair, dim=1) for pair in zip(pasts[place], present, strict=True))
                )
                latent = layer(latent, queries, seen, self.attention_exponentials, hidden)
                pasts[place] = LayerCache(*(tensor[:, -past_context:] for tensor in seen))
            yield latent
            first += num_frames

    def _intervals_of(self, latent: Tensor, codes: Tensor, groups: list[Group]) -> Intervals:
        parts = []
        for group in groups:
            present = codes[..., slice(*group)]
            frequencies = self._frequencies(latent, group)
            sums = frequencies.cumsum(dim=-1)
            own = frequencies.gather(-1, present[..., None])[..., 0].long()
            upto = sums.gather(-1, present[..., None])[..., 0]
            parts.append(Intervals(upto - own, own, sums[..., -1]))
            latent = self.condition(latent, group, present)
        return Intervals(*(torch.cat(tensors, dim=-1) for tensors in zip(*parts, strict=True)))

    def _frequencies(self, latent: Tensor, group: Group) -> Tensor:
        """int32 [..., group, V] for latents [..., D]."""
        if group not in self._heads:
            first, last = (codebook * self.config.codebook_size for codebook in group)
            self._heads[group] = self.heads.prepare(first, last)
        if self.config.architecture.within_frame:
            latent = latent.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        logits = self._heads[group].apply(latent.reshape(-1, latent.shape[-1]))
        logits = logits.view(*latent.shape[:-1], group[1] - group[0], self.config.codebook_size)
        return look_up(self.frequency_table, torch.sub(logits.amax(dim=-1, keepdim=True), logits))

    def _check_table(self, table: Tensor, spec: TableSpec) -> None:
        """What the bounds of sums rest on."""
        if not (int(table.min()) >= spec.floor and int(table[0]) == int(table.max()) == spec.peak):
            raise InexactError(
                f"a table of exponentials must start at {spec.peak} and stay above {spec.floor}"
            )
