"""How much of each codebook a codec uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.quantization.usage import usage_of_counts


@dataclass(frozen=True)
class CodebookUsage:
    """One codebook over some audio.

    Attributes:
        codebook: its index, 0 the coarsest.
        codebook_size: V.
        used_share: codes chosen at least once, over V.
        perplexity: 2 to the entropy in bits of the codes' frequencies; V if all are equally frequent.
        num_frames: how many codes were counted. With fewer than a few V, both figures are low for that reason alone.
    """

    codebook: int
    codebook_size: int
    used_share: float
    perplexity: float
    num_frames: int


def measure_codebook_usage(model: EncodecModel, paths: Sequence[str | Path]) -> list[CodebookUsage]:
    """Encode files at the highest bandwidth and count the codes of each codebook.

    Raises:
        ValueError: no files, or a file that is not audio.
    """
    if not paths:
        raise ValueError("there is no file to count codes of")
    size = model.config.codebook_size
    counts = torch.zeros(model.config.num_codebooks, size, dtype=torch.int64)  # [K, V]
    with torch.no_grad(), model.at_bandwidth(model.target_bandwidths[-1]):
        for path in paths:
            wav = read_converted(path, model.sample_rate, model.channels)
            for codes, _ in model.encode(wav[None].to(model.device)):
                for count, chosen in zip(counts, codes[0].cpu(), strict=True):
                    count += torch.bincount(chosen, minlength=size)
    figures = usage_of_counts(counts)
    return [
        CodebookUsage(index, size, used_share, perplexity, num_frames)
        for index, (used_share, perplexity, num_frames) in enumerate(
            zip(figures.used_share.tolist(), figures.perplexity.tolist(), counts.sum(1).tolist(), strict=True)
        )
    ]
