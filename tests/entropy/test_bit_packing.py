"""Packing of integers into bits: exact bytes, the reference's bytes, and refusals."""

import io
from types import ModuleType

import numpy as np
import pytest

from encodec_lab.entropy.bit_packing import pack_bits, packed_size, unpack_bits


def _draw(width: int, count: int) -> np.ndarray:
    return np.random.default_rng(width * 1000 + count).integers(0, 1 << width, count)


def test_exact_bytes() -> None:
    assert pack_bits([1, 2, 3], width=10) == bytes.fromhex("01083000")
    assert pack_bits([0b1, 0b0, 0b1, 0b1], width=1) == bytes([0b1101])
    assert pack_bits([0x1234, 0xABCD], width=16) == bytes.fromhex("3412cdab")
    assert pack_bits([], width=10) == b""


@pytest.mark.parametrize("width", [1, 3, 8, 10, 13, 32])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000, (1 << 16) + 5])
def test_unpacking_gives_the_values_back(width: int, count: int) -> None:
    values = _draw(width, count)
    packed = pack_bits(values, width)
    assert len(packed) == packed_size(count, width)
    assert np.array_equal(unpack_bits(packed, width, count), values)


@pytest.mark.parametrize("width", [1, 6, 10, 15])
@pytest.mark.parametrize("count", [1, 5, 801, (1 << 16) + 3])
def test_bytes_equal_the_reference(reference_package: ModuleType, width: int, count: int) -> None:
    from encodec.binary import BitPacker

    values = _draw(width, count)
    file = io.BytesIO()
    packer = BitPacker(width, file)
    for value in values.tolist():
        packer.push(value)
    packer.flush()
    assert pack_bits(values, width) == file.getvalue()


@pytest.mark.parametrize("values", [[-1], [1024], [3, 1 << 40]])
def test_values_out_of_range_are_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match=r"0\.\.\.1023, got"):
        pack_bits(values, width=10)


@pytest.mark.parametrize(("size", "count"), [(3, 3), (5, 3), (0, 1), (1, 0), (4, -1), (4, 10**30)])
def test_sizes_that_do_not_fit_are_refused_before_anything_is_allocated(size: int, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} values of 10 bits"):
        unpack_bits(bytes(size), width=10, count=count)


@pytest.mark.parametrize("width", [0, -1, 33])
def test_impossible_widths_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="width must be 1...32"):
        pack_bits([1], width)
    with pytest.raises(ValueError, match="width must be 1...32"):
        unpack_bits(b"", width, 0)
