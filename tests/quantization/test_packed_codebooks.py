"""The search with codebooks laid out once against the quantiser's own."""

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.quantization.packed_codebooks import PackedCodebooks


@torch.no_grad()
@pytest.mark.parametrize("packed", [True, False], ids=["onednn", "without"])
def test_codes_are_those_of_the_quantizer(packed, monkeypatch):
    quantizer = random_codec(SMALL_24KHZ).quantizer
    if not packed:
        monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    codebooks = PackedCodebooks(quantizer.codebooks)
    generator = torch.Generator().manual_seed(0)
    for batch, num_frames, num_codebooks in ((1, 1, 1), (3, 70, 2), (1, 1000, 13)):
        latent = 0.1 * torch.randn(batch, num_frames, 8, generator=generator)
        codes = codebooks.encode(latent, num_codebooks)
        assert codes.dtype is torch.long and codes.shape == (batch, num_codebooks, num_frames)
        expected = quantizer.encode(latent.transpose(1, 2), num_codebooks)
        # Random vectors are nearly as near to two entries now and then.
        assert (codes != expected).any(dim=1).sum() <= 1


def test_the_first_of_equal_entries_is_taken():
    quantizer = random_codec(SMALL_24KHZ).quantizer
    entries = quantizer.codebooks[0].embed
    entries[40] = entries[7]
    codes = PackedCodebooks(quantizer.codebooks).encode(entries[None], 1)
    assert codes[0, 0, 40] == codes[0, 0, 7] == 7
    assert codes[0, 0, :40].tolist() == list(range(40))
