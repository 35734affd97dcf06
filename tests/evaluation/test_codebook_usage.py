"""Usage and perplexity of codebooks."""

from pathlib import Path

import pytest
import torch

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.codebook_usage import measure_codebook_usage
from encodec_lab.models.encodec import EncodecModel


def test_counts_are_those_of_the_codes(codec: EncodecModel, clips: list[Path]) -> None:
    codec.set_target_bandwidth(6.0)
    codes = torch.cat(
        [codec.encode(read_converted(path, 24_000, 1)[None])[0].codes[0] for path in clips], dim=1
    )  # [K, L]
    codec.set_target_bandwidth(0.9)
    usages = measure_codebook_usage(codec, clips)
    assert codec.bandwidth == 0.9
    assert len(usages) == len(codes) == 13
    for usage, chosen in zip(usages, codes, strict=True):
        values, counts = chosen.unique(return_counts=True)
        shares = counts.double() / len(chosen)
        assert usage.used_share == pytest.approx(len(values) / 64)
        assert usage.perplexity == pytest.approx(float(torch.prod(shares**-shares)), rel=1e-9)
        assert usage.num_frames == len(chosen)
    assert len({usage.perplexity for usage in usages}) > 1


def test_no_files(codec: EncodecModel) -> None:
    with pytest.raises(ValueError, match="no file"):
        measure_codebook_usage(codec, [])
