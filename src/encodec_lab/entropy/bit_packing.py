"""Integers of a fixed width packed into bytes, least significant bit first.

Value `i` occupies the bits `i * width ... (i + 1) * width - 1` of the stream, where bit `j` is bit `j % 8` of byte
`j // 8`; the last byte is filled up with zeros. The payload of the `.ecdc` format v0 is packed in this way.

    >>> pack_bits([1, 2, 3], width=10).hex()
    '01083000'
    >>> unpack_bits(bytes.fromhex("01083000"), width=10, count=3).tolist()
    [1, 2, 3]
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_WIDTH = 32
_CHUNK_VALUES = (
    1 << 16
)  # a multiple of 8, so that every chunk but the last ends at a byte; bounds the scratch memory


def packed_size(count: int, width: int) -> int:
    """The number of bytes that `count` values of `width` bits take."""
    return (count * width + 7) // 8


def pack_bits(values: Sequence[int] | NDArray[np.integer], width: int) -> bytes:
    """Pack values [N], each in 0 ... 2^width - 1, into `packed_size(N, width)` bytes; ValueError outside that range."""
    _check_width(width)
    flat = np.asarray(values, dtype=np.int64)
    if flat.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {list(flat.shape)}")
    if flat.size and not (flat.min() >= 0 and flat.max() < 1 << width):
        raise ValueError(
            f"values of {width} bits must lie in 0...{(1 << width) - 1}, got {flat.min()}...{flat.max()}"
        )
    shifts = np.arange(width, dtype=np.int64)
    packed = bytearray()
    for start in range(0, flat.size, _CHUNK_VALUES):
        bits = (flat[start : start + _CHUNK_VALUES, None] >> shifts) & 1  # [N, width]
        packed += np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    return bytes(packed)


def unpack_bits(data: bytes | memoryview, width: int, count: int) -> NDArray[np.int64]:
    """Unpack `count` values [count] of `width` bits; ValueError unless `data` has exactly the bytes that they take.

    The size is checked before anything is allocated, so a wrong `count` costs nothing.
    """
    _check_width(width)
    if count < 0 or len(data) != packed_size(count, width):
        raise ValueError(
            f"{count} values of {width} bits take {packed_size(count, width)} bytes, got {len(data)}"
        )
    packed = np.frombuffer(data, dtype=np.uint8)
    weights = np.int64(1) << np.arange(width, dtype=np.int64)
    values = np.empty(count, dtype=np.int64)
    for start in range(0, count, _CHUNK_VALUES):
        size = min(_CHUNK_VALUES, count - start)
        first = start * width // 8
        chunk = packed[first : first + packed_size(size, width)]
        bits = np.unpackbits(chunk, count=size * width, bitorder="little").reshape(size, width)
        values[start : start + size] = bits @ weights
    return values


def _check_width(width: int) -> None:
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width must be 1...{MAX_WIDTH} bits, got {width}")
