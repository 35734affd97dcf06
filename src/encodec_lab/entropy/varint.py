"""Unsigned integers in as few bytes as they need (LEB128): seven bits a byte, lowest first.

Bit 7 of a byte says that more follow.

>>> encode_varint(300).hex()
'ac02'
"""

from collections.abc import Callable

MAX_VARINT_BYTES = 9  # 63 bits


def encode_varint(value: int) -> bytes:
    """`value`, 0 ... 2^63 - 1, as 1 to 9 bytes; ValueError outside that range."""
    if not 0 <= value < 1 << (7 * MAX_VARINT_BYTES):
        raise ValueError(f"a varint holds 0...2^63 - 1, got {value}")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(0x80 | value & 0x7F)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(next_byte: Callable[[], int]) -> int:
    """The value whose bytes `next_byte` gives one after the other.

    Raises:
        ValueError: it goes on after 9 bytes, or is longer than it need be, so that every value has one encoding.
    """
    value = 0
    for position in range(MAX_VARINT_BYTES):
        byte = next_byte()
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            if byte == 0 and position > 0:
                raise ValueError(f"the varint of {value} is longer than it need be")
            return value
    raise ValueError(f"a varint of more than {MAX_VARINT_BYTES} bytes")
