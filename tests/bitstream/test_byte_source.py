"""Reading from what gives few bytes at a time, and from what gives fewer than were claimed."""

import io
import os
import threading
import tracemalloc

import pytest

from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.types import EcdcError


class Trickle:
    """A file that gives one byte at a time, as a slow socket does."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def read(self, size: int) -> bytes:
        return self.content.read(min(size, 1))


def test_short_reads() -> None:
    source = ByteSource(Trickle(b"ECDC\0abcdefgh"))
    assert read_version(source) == 0
    assert source.exactly(3, "three") == b"abc"
    assert source.at_most(100) == b"defgh"
    assert source.offset == 13
    assert source.at_most(1) == b""


def test_a_pipe() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for piece in (b"EC", b"DC\1", bytes(200_000)):
                pipe.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        source = ByteSource(pipe)
        assert read_version(source) == 1
        assert source.exactly(200_000, "the rest") == bytes(200_000)
    thread.join()


def test_a_claim_allocates_nothing() -> None:
    tracemalloc.start()
    with pytest.raises(
        EcdcError, match="ends at byte 3, within the codes, which goes on to byte 1099511627776"
    ):
        ByteSource(io.BytesIO(b"abc")).exactly(1 << 40, "the codes")
    assert ByteSource(io.BytesIO(b"abc")).at_most(10**4000) == b"abc"
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 500_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends after 0 bytes"),
        (b"ECD", "ends after 3 bytes"),
        (b"RIFF\0", "not an .ecdc stream: it starts with b'RIFF'"),
        (b"ECDC", "ends at byte 4, within the version"),
    ],
)
def test_what_is_no_stream(data: bytes, message: str) -> None:
    with pytest.raises(EcdcError, match=message):
        read_version(ByteSource(io.BytesIO(data)))
