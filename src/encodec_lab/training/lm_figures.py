"""What a language model saves on recordings' codes, by bandwidth, beside what a fixed table would."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_lab.data.code_crops import NO_CODE
from encodec_lab.evaluation.training_log import ChartPlan
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.language_model import LMModel
from encodec_lab.modules.distributed import all_reduce_sum_

LM_CHARTS = (
    ChartPlan("What the language model saves of the bits", "%", ("valid/lm_saving_percent/",)),
    ChartPlan("Bandwidth with the language model", "kbps", ("valid/lm_kbps/",), folded=True),
    ChartPlan("Training loss", "bits per code", ("train/bits_per_code",), smooth=True),
)


@dataclass(frozen=True)
class BandwidthFigures:
    """What an ideal coder spends on the codes of one bandwidth.

    Attributes:
        bandwidth_kbps: as the codec calls it.
        frame_rate_hz: latent frames per second.
        raw_bits: of a frame, uncompressed.
        lm_bits: of a frame, by the language model.
        order0_bits: of a frame, by a table per codebook of how often the training recordings hold each code.
    """

    bandwidth_kbps: float
    frame_rate_hz: int
    raw_bits: int
    lm_bits: float
    order0_bits: float

    @property
    def raw_kbps(self) -> float:
        return self.raw_bits * self.frame_rate_hz / 1000

    @property
    def lm_kbps(self) -> float:
        return self.lm_bits * self.frame_rate_hz / 1000

    @property
    def lm_saving_percent(self) -> float:
        return 100 * (1 - self.lm_bits / self.raw_bits)

    @property
    def order0_saving_percent(self) -> float:
        return 100 * (1 - self.order0_bits / self.raw_bits)

    def named(self) -> dict[str, float]:
        """The values by the names under which they are logged."""
        values = {
            "bits_per_frame": self.lm_bits,
            "lm_kbps": self.lm_kbps,
            "lm_saving_percent": self.lm_saving_percent,
            "order0_saving_percent": self.order0_saving_percent,
        }
        return {f"valid/{name}/{self.bandwidth_kbps:g}kbps": value for name, value in values.items()}


class FigureSums:
    """Sums over records of the bits at every bandwidth.

    Args:
        codec: whose codes they are.
        train_counts: [K, V], how often the training recordings hold each code.
    """

    def __init__(self, codec: CodecConfig, train_counts: Tensor) -> None:
        self._codec = codec
        counts = train_counts.double() + 1  # a code that never occurred has a price, too
        self._order0_bits = -(counts / counts.sum(1, keepdim=True)).log2()
        self._reset()

    def _reset(self) -> None:
        # Per bandwidth: bits by the language model, bits by the table, frames.
        self._sums = torch.zeros(len(self._codec.bandwidths), 3, dtype=torch.float64)

    @torch.no_grad()
    def add(self, lm: LMModel, codes: Tensor) -> None:
        """Measure records [B, K, S] that start from nothing."""
        table = self._order0_bits.to(codes.device)
        priced = torch.stack([table[k][codes[:, k]] for k in range(codes.shape[1])], dim=1)  # [B, K, S]
        for row, kbps in enumerate(self._codec.bandwidths):
            num_codebooks = self._codec.num_codebooks_for(kbps)
            lm_bits = code_bits(lm, codes[:, :num_codebooks]).double().sum()
            order0_bits = priced[:, :num_codebooks].sum()
            num_frames = codes.shape[0] * codes.shape[2]
            self._sums[row] += torch.tensor([float(lm_bits), float(order0_bits), num_frames])

    def pop_figures(self, device: torch.device) -> list[BandwidthFigures]:
        """The figures over the records of all ranks, then start anew; `device` is one that ranks can talk from."""
        exact = torch.float32 if device.type == "mps" else torch.float64
        sums = all_reduce_sum_(self._sums.to(device, exact)).cpu()
        self._reset()
        return [
            BandwidthFigures(
                bandwidth_kbps=kbps,
                frame_rate_hz=self._codec.frame_rate_hz,
                raw_bits=self._codec.num_codebooks_for(kbps) * self._codec.bits_per_codebook,
                lm_bits=lm_bits / num_frames,
                order0_bits=order0_bits / num_frames,
            )
            for kbps, (lm_bits, order0_bits, num_frames) in zip(
                self._codec.bandwidths, sums.tolist(), strict=True
            )
        ]


def code_bits(lm: LMModel, codes: Tensor, offset: int = 0) -> Tensor:
    """Bits [B, K, S] that an ideal coder spends on codes [B, K, S] int64 that follow nothing; 0 for `NO_CODE`."""
    known = codes.clamp(min=0)
    indices = F.pad(1 + known[..., :-1], (1, 0))
    logits = lm.logits(indices, None, offset, known if lm.config.within_frame else None).probabilities
    by_code = logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).float()
    nats = F.cross_entropy(by_code, codes.reshape(-1), ignore_index=NO_CODE, reduction="none")
    return nats.view_as(codes) / math.log(2)


def figures_table(figures: Sequence[BandwidthFigures]) -> str:
    """A table in Markdown, a line per bandwidth."""
    lines = [
        "| bandwidth | raw, kbps | with LM, kbps | bits per frame | LM saves | a fixed table would save |",
        "|---" * 6 + "|",
    ]
    for row in figures:
        lines.append(
            f"| {row.bandwidth_kbps:g} kbps | {row.raw_kbps:.2f} | {row.lm_kbps:.2f} | {row.lm_bits:.1f} |"
            f" {row.lm_saving_percent:.1f} % | {row.order0_saving_percent:.1f} % |"
        )
    return "\n".join(lines)


def named_figures(figures: Sequence[BandwidthFigures]) -> Mapping[str, float]:
    """All of them by the names under which they are logged."""
    return {name: value for row in figures for name, value in row.named().items()}
