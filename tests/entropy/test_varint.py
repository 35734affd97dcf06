import io

import pytest

from encodec_lab.entropy.varint import MAX_VARINT_BYTES, decode_varint, encode_varint


def decode(content: bytes) -> tuple[int, int]:
    source = io.BytesIO(content)
    value = decode_varint(lambda: source.read(1)[0])
    return value, source.tell()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 16_383, 16_384, 240_000, 2**32, 2**63 - 1])
def test_a_value_comes_back(value):
    encoded = encode_varint(value)
    assert decode(encoded + b"\xff") == (value, len(encoded))
    assert len(encoded) == max(1, -(-value.bit_length() // 7))


def test_known_bytes():
    assert encode_varint(300) == bytes.fromhex("ac02")


@pytest.mark.parametrize("value", [-1, 2**63])
def test_what_does_not_fit(value):
    with pytest.raises(ValueError, match=str(value)):
        encode_varint(value)


def test_no_value_has_two_encodings():
    with pytest.raises(ValueError, match="longer than it need be"):
        decode(bytes.fromhex("ac8200"))


def test_an_endless_one_is_refused():
    with pytest.raises(ValueError, match="9 bytes"):
        decode(b"\x80" * (MAX_VARINT_BYTES + 1))
