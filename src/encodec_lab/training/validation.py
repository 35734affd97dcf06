"""Validation at every bandwidth: reconstructions and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from encodec_lab.evaluation.scored_metrics import VALIDATION_METRICS, ScoredMetric
from encodec_lab.metrics import NotScored
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.distributed import all_reduce_sum_
from encodec_lab.types import EncodedFrame


@dataclass(frozen=True)
class ValidationClip:
    """A clip and what the codec makes of it.

    Attributes:
        name: of the clip.
        sample_rate_hz: of both signals.
        original: [C, T].
        reconstructions: by bandwidth in kbps, [C, T].
    """

    name: str
    sample_rate_hz: int
    original: Tensor
    reconstructions: dict[float, Tensor]


@torch.no_grad()
def reconstruct_at_every_bandwidth(codec: EncodecModel, wav: Tensor, name: str) -> ValidationClip:
    """Encode [1, C, T] once, at the highest bandwidth, and decode as many codebooks as each bandwidth has.

    That equals encoding at each bandwidth: a codebook's choice does not depend on the ones after it.
    """
    with codec.at_bandwidth(codec.target_bandwidths[-1]):
        frames = codec.encode(wav)
    reconstructions = {}
    for kbps in codec.target_bandwidths:
        num_codebooks = codec.num_codebooks_for(kbps)
        prefix = [EncodedFrame(frame.codes[:, :num_codebooks], frame.scale) for frame in frames]
        reconstructions[kbps] = codec.decode(prefix)[0, :, : wav.shape[-1]].float()
    return ValidationClip(name, codec.sample_rate, wav[0].float(), reconstructions)


class BandwidthScores:
    """Means over clips of every metric at every bandwidth; clips that a metric cannot score are counted instead."""

    def __init__(
        self, bandwidths: Sequence[float], metrics: Sequence[ScoredMetric] = VALIDATION_METRICS
    ) -> None:
        self._bandwidths = list(bandwidths)
        self._metrics = tuple(metrics)
        self._reset()

    def _reset(self) -> None:
        # Per bandwidth and metric: sum of scores, number of scores, number not scored.
        self._sums = torch.zeros(len(self._bandwidths), len(self._metrics), 3, dtype=torch.float64)

    def add(self, clip: ValidationClip) -> None:
        """Score one clip."""
        for row, kbps in enumerate(self._bandwidths):
            for column, metric in enumerate(self._metrics):
                try:
                    score = metric.function(clip.original, clip.reconstructions[kbps], clip.sample_rate_hz)
                    self._sums[row, column] += torch.tensor([score, 1.0, 0.0], dtype=torch.float64)
                except NotScored:
                    self._sums[row, column, 2] += 1

    def pop_means(self, device: torch.device) -> dict[str, float]:
        """`valid/METRIC/KBPSkbps` over the clips of all ranks, and `valid/not_scored`; then start anew.

        Metrics without any scored clip are left out. `device` is one that the process group can communicate from.
        """
        sums = all_reduce_sum_(
            self._sums.to(device, torch.float32 if device.type == "mps" else torch.float64)
        ).cpu()
        self._reset()
        return {"valid/not_scored": float(sums[..., 2].sum()), **self._means(sums)}

    def local_means(self) -> dict[str, float]:
        """`valid/METRIC/KBPSkbps` over the clips of this rank alone."""
        return self._means(self._sums)

    def _means(self, sums: Tensor) -> dict[str, float]:
        means = {}
        for row, kbps in enumerate(self._bandwidths):
            for column, metric in enumerate(self._metrics):
                total, count, _ = sums[row, column].tolist()
                if count:
                    means[f"valid/{metric.name}/{kbps:g}kbps"] = total / count
        return means
