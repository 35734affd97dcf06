"""The scale of a segment."""

import math
import struct

import pytest
import torch

from encodec_lab.bitstream.scale import SCALE_BYTES, pack_scale, unpack_scale
from encodec_lab.types import EcdcError


def test_known_bytes() -> None:
    packed = pack_scale(torch.tensor([[0.5]]))
    assert packed.hex() == "3f000000" and len(packed) == SCALE_BYTES
    assert torch.equal(unpack_scale(memoryview(packed), "there"), torch.tensor([[0.5]]))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_scales_that_cannot_be(scale: float) -> None:
    with pytest.raises(EcdcError, match=f"record 3: the scale .* is {scale}; it must be finite and positive"):
        unpack_scale(struct.pack("!f", scale), "record 3")
