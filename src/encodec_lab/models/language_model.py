"""The language model that predicts a codec's codes for entropy coding (EnCodec, arXiv 2210.13438, section 3.3)."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.models.config import config_from_dict, is_count
from encodec_lab.modules.transformer import StreamingTransformer, TransformerStates


@dataclass(frozen=True)
class LMConfig:
    """All that builds a language model; plain JSON values only.

    Attributes:
        num_codebooks: of the codec at its highest bandwidth.
        codebook_size: entries of a codebook.
        dim: see `StreamingTransformer`, as for all that follow.
        past_context_frames: latent frames that a layer sees besides the present one.
        within_frame: predict codebook k also from the codebooks before it in the same frame. Not in the paper.
    """

    num_codebooks: int
    codebook_size: int
    dim: int
    num_heads: int
    num_layers: int
    feedforward_dim: int
    past_context_frames: int
    max_period: float
    within_frame: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and not is_count(value, 1):
                raise ValueError(f"{field.name} must be an integer of at least 1, got {value!r}")
        if self.dim % 2 or self.dim < 4 or self.dim % self.num_heads:
            raise ValueError(
                f"dim must be even, at least 4 and a multiple of num_heads ({self.num_heads}), got {self.dim}"
            )
        if not self.max_period > 1:
            raise ValueError(f"max_period must be over 1, got {self.max_period}")
        if not isinstance(self.within_frame, bool):
            raise ValueError(f"within_frame must be true or false, got {self.within_frame!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; `from_dict` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LMConfig":
        """Build from `to_dict`'s values; ValueError names a field that is unknown, missing or impossible."""
        # Exports of before the option have no such key.
        return config_from_dict(cls, {"within_frame": False} | dict(values), "language model")


# The two that Meta published; past context 3.5 s.
ENCODEC_LM_24KHZ = LMConfig(
    num_codebooks=32,
    codebook_size=1024,
    dim=200,
    num_heads=8,
    num_layers=5,
    feedforward_dim=800,
    past_context_frames=262,
    max_period=10_000.0,
)
ENCODEC_LM_48KHZ = dataclasses.replace(ENCODEC_LM_24KHZ, num_codebooks=16, past_context_frames=525)


class LMOutput(NamedTuple):
    """What a language model gives; unpacks as the reference's triple.

    Attributes:
        probabilities: [B, V, K, S], of each code of each frame; `LMModel.logits` puts logits in their place.
        states: to be passed in with the frames that follow.
        offset: to be passed in with the frames that follow.
    """

    probabilities: Tensor
    states: TransformerStates
    offset: int


class LMModel(nn.Module):
    """Predicts all codes of a latent frame at once from those of the frames before it.

    The state dict has exactly the reference implementation's keys and shapes, and equal weights give the reference's
    probabilities to the bit; but for `within_frame`, which the reference has not: then codebook k of a frame is
    predicted from the codebooks before it too.

    Example:
        >>> lm = LMModel(ENCODEC_LM_24KHZ)
        >>> nothing_yet = torch.zeros(1, 8, 1, dtype=torch.long)  # [B, K, S]: the first frame follows no codes
        >>> probabilities, states, offset = lm(nothing_yet)
        >>> codes = probabilities[..., 0].argmax(dim=1)  # [B, K], the likeliest
        >>> probabilities, states, offset = lm(1 + codes[..., None], states, offset)
    """

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = StreamingTransformer(
            dim=config.dim,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            feedforward_dim=config.feedforward_dim,
            past_context=config.past_context_frames,
            max_period=config.max_period,
        )
        self.emb = nn.ModuleList(
            [nn.Embedding(1 + config.codebook_size, config.dim) for _ in range(config.num_codebooks)]
        )
        self.linears = nn.ModuleList(
            [nn.Linear(config.dim, config.codebook_size) for _ in range(config.num_codebooks)]
        )
        if config.within_frame:
            self.frame_emb = nn.ModuleList(
                [nn.Embedding(config.codebook_size, config.dim) for _ in range(config.num_codebooks - 1)]
            )

    def parameters_for(self, num_codebooks: int) -> list[nn.Parameter]:
        """Those that codes of so many codebooks depend on, in the order in which `forward` uses them."""
        used: list[nn.Module] = [*self.emb[:num_codebooks], self.transformer]
        for k in range(num_codebooks):
            if self.config.within_frame and k > 0:
                used.append(self.frame_emb[k - 1])
            used.append(self.linears[k])
        return [parameter for module in used for parameter in module.parameters()]

    def forward(
        self,
        indices: Tensor,
        states: TransformerStates | None = None,
        offset: int = 0,
        present: Tensor | None = None,
    ) -> LMOutput:
        """Probabilities [B, V, K, S] of S frames, given for each the frame before it.

        Args:
            indices: [B, K, S] int64, 1 + the codes of the preceding frames, 0 where there is none; K may be any number
                of codebooks that the model has.
            states: what an earlier call returned, None at the start.
            offset: what an earlier call returned; at the start any position to count from.
            present: [B, K, S] int64, the codes of the S frames themselves; for a model with `within_frame` alone.

        Raises:
            ValueError: more codebooks than the model has, or `present` is missing or too much.
        """
        logits, states, offset = self.logits(indices, states, offset, present)
        return LMOutput(torch.softmax(logits, dim=1), states, offset)

    def logits(
        self,
        indices: Tensor,
        states: TransformerStates | None = None,
        offset: int = 0,
        present: Tensor | None = None,
    ) -> LMOutput:
        """As `forward`, without the softmax over V: for `torch.nn.functional.cross_entropy`."""
        num_codebooks = indices.shape[1]
        if num_codebooks > self.config.num_codebooks:
            raise ValueError(
                f"the language model has {self.config.num_codebooks} codebooks, got codes of {num_codebooks}"
            )
        if self.config.within_frame != (present is not None):
            raise ValueError(
                "this language model predicts each codebook from those before it in the frame, so it needs the present"
                " codes"
                if self.config.within_frame
                else "this language model takes no present codes"
            )
        embedded = self.emb[0](indices[:, 0])
        for k in range(1, num_codebooks):
            embedded = embedded + self.emb[k](indices[:, k])
        latent, states, offset = self.transformer(embedded, states, offset)
        heads = []
        for k in range(num_codebooks):
            if present is not None and k > 0:
                latent = latent + self.frame_emb[k - 1](present[:, k - 1])
            heads.append(self.linears[k](latent))
        return LMOutput(torch.stack(heads, dim=1).permute(0, 3, 1, 2), states, offset)  # [B, V, K, S]
