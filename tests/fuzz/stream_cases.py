"""Streams that are damaged, cut, spliced, forged or no streams at all, drawn from a seed."""

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fuzz.subjects import Subject

from encodec_lab.bitstream import v0, v1_layout
from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.bitstream.record_order import RecordOrder, read_in_order
from encodec_lab.entropy.varint import encode_varint


@dataclass(frozen=True)
class Case:
    """What a reader is given.

    Attributes:
        data: the stream.
        kind: how it was made.
        is_damaged: whether it was a good stream, and no longer is one; a forgery has checks that are right.
    """

    data: bytes
    kind: str
    is_damaged: bool


def truncations(subject: Subject) -> Iterator[Case]:
    """Every stream, cut after every byte."""
    for stream in subject.streams:
        for size in range(len(stream)):
            yield Case(stream[:size], "truncation", True)


def swapped_lms(subject: Subject, num_cases: int) -> Iterator[Case]:
    """Streams that claim another language model, if the subject has one."""
    draws = random.Random(0)
    for _ in range(num_cases if subject.other_lm is not None else 0):
        yield Case(_swapped_lm(draws, subject), "swapped lm", False)


def draw_cases(subject: Subject, seed: int, num_cases: int) -> Iterator[Case]:
    """So many cases; the same ones for the same seed."""
    draws = random.Random(f"{subject.name} {seed}")
    kinds = [*_DAMAGE.items(), *_FORGERIES[subject.format].items()]
    kinds += [("swapped lm", _swapped_lm)] if subject.other_lm is not None else []
    while num_cases > 0:
        kind, make = draws.choice(kinds)
        data = make(draws, subject)
        if data not in subject.streams:
            num_cases -= 1
            yield Case(data, kind, kind in _DAMAGE)


def _cut(draws: random.Random, subject: Subject) -> bytes:
    stream = draws.choice(subject.streams)
    return stream[: draws.randrange(len(stream))]


def _longer(draws: random.Random, subject: Subject) -> bytes:
    return draws.choice(subject.streams) + draws.randbytes(draws.choice((1, 4, 1000)))


def _flip(draws: random.Random, subject: Subject) -> bytes:
    data = bytearray(draws.choice(subject.streams))
    for _ in range(draws.choice((1, 1, 1, 2, 20))):
        data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    return bytes(data)


def _edit(draws: random.Random, subject: Subject) -> bytes:
    data = bytearray(draws.choice(subject.streams))
    start = draws.randrange(min(len(data), draws.choice((16, 100, len(data)))))
    for position in range(start, min(len(data), start + draws.choice((1, 2, 8)))):
        data[position] = draws.choice((0, 1, 0x7F, 0x80, 0xFF, draws.randrange(256)))
    return bytes(data)


def _move(draws: random.Random, subject: Subject) -> bytes:
    """Leave a part out, or put it in again elsewhere."""
    stream = draws.choice(subject.streams)
    start, end = sorted(draws.randrange(len(stream) + 1) for _ in range(2))
    rest = stream[:start] + stream[end:]
    place = draws.randrange(len(rest) + 1)
    return draws.choice(
        (rest, rest[:place] + stream[start:end] + rest[place:], stream[:end] + stream[start:])
    )


def _splice(draws: random.Random, subject: Subject) -> bytes:
    """The start of one and the end of another, as often as not at borders of records."""
    first, second = draws.sample(subject.streams, 2)
    if subject.format == "v1" and draws.random() < 0.5:
        return first[: draws.choice(record_borders(first))] + second[draws.choice(record_borders(second)) :]
    return first[: draws.randrange(len(first) + 1)] + second[draws.randrange(len(second) + 1) :]


def _noise(draws: random.Random, subject: Subject) -> bytes:
    start = draws.choice((b"", b"ECDC", b"ECDC\0", b"ECDC\1", draws.choice(subject.streams)[:60]))
    return start + draws.randbytes(draws.choice((0, 3, 50, 5_000)))


def record_borders(stream: bytes) -> list[int]:
    """Where the records of a stream of version 1 start, and its end."""
    source = ByteSource(io.BytesIO(stream))
    read_version(source)
    header, seed = v1_layout.read_header(source)
    borders = [source.offset]
    while borders[-1] < len(stream):
        head, head_bytes = v1_layout.read_record_head(source, seed, header.record_samples)
        v1_layout.skip_payload(source, head, head_bytes, seed)
        borders.append(source.offset)
    return borders


def _number(draws: random.Random, limit: int) -> int:
    """A number that somebody may not have thought of, below `limit`."""
    near = draws.choice((0, 1, 2, 4, 319, 320, 481, 47_520, 48_000, 2**16, 2**31, 2**32, 2**53, 2**63, limit))
    return min(limit - 1, max(0, near + draws.randrange(-2, 3)))


def _forged_v0(draws: random.Random, subject: Subject) -> bytes:
    """A header that claims anything, before a payload of any size."""
    stream = draws.choice(subject.streams)
    start = 9 + int.from_bytes(stream[5:9])
    fields = json.loads(stream[9:start])
    for key in draws.sample(sorted(fields), draws.choice((1, 1, 2))):
        number = _number(draws, 10**4000)
        values = (
            number,
            -number,
            float(number % 10**300),
            None,
            "",
            "\ud800",
            "\x1b",
            [number],
            {},
            True,
            "x" * 999,
        )
        fields[key] = draws.choice((number, draws.choice(values)))
    text = draws.choice((json.dumps(fields).encode(), b"[" * 4000, b'{"al": 1' + b"0" * 4080, b"\xff" * 90))
    size = draws.choice((len(text), len(text), len(text), _number(draws, 2**32)))
    longest = 500 if subject.name == "v0 lm" else 5_000  # a language model takes milliseconds for every frame
    payload = draws.choice((stream[start:], b"", draws.randbytes(draws.choice((1, 9, longest)))))
    return b"ECDC" + struct.pack("!BI", v0.VERSION, size) + text + payload


def _forged_header(draws: random.Random, subject: Subject) -> bytes:
    """A header that claims anything, with the right check."""
    stream = draws.choice(subject.streams)
    source = ByteSource(io.BytesIO(stream))
    read_version(source)
    header, _ = v1_layout.read_header(source)
    limit = 2**63
    changes = {
        "record_samples": _number(draws, limit),
        "num_codebooks": _number(draws, limit),
        "sample_rate_hz": _number(draws, limit),
        "model_identity": draws.randbytes(8),
        "lm_identity": draws.randbytes(8),
        "model_name": draws.choice(("x" * 255, "../..", "\x1b[2J", "encodec_24khz")),
        "source": v1_layout.SourceAudio(_number(draws, limit), draws.randrange(256)),
    }
    keys = draws.sample(sorted(changes), draws.choice((1, 1, 2)))
    forged = v1_layout.pack_header(replace(header, **{key: changes[key] for key in keys}))
    return forged + draws.choice((stream[source.offset :], draws.randbytes(200), b""))


def _forged_records(draws: random.Random, subject: Subject) -> bytes:
    """A good header and records with right checks that claim anything, perhaps between good ones."""
    stream = draws.choice(subject.streams)
    borders = record_borders(stream)
    seed = int.from_bytes(stream[borders[0] - 4 : borders[0]])
    parts = []
    for _ in range(draws.choice((1, 1, 3))):
        payload = draws.randbytes(draws.choice((0, 1, 45, 1_000)))
        tag = draws.choice((0, 1, 2, 3, _number(draws, 2**63)))
        numbers = [tag, *(_number(draws, 2**63) for _ in range(1 + tag % 2))]
        claimed = draws.choice((len(payload), _number(draws, 2**63)))
        head = b"".join(map(encode_varint, [*numbers, claimed])) + draws.randbytes(3 * (tag % 2))
        head += zlib.crc32(head, seed).to_bytes(4)[2:]
        parts.append(head + payload + zlib.crc32(head + payload, seed).to_bytes(4))
    place = draws.choice(borders)
    return stream[:place] + b"".join(parts) + stream[place:]


def _records(stream: bytes) -> tuple[v1_layout.Header, list[tuple[v1_layout.RecordHead, bytes]]]:
    source = ByteSource(io.BytesIO(stream))
    read_version(source)
    header, seed = v1_layout.read_header(source)

    def read(head: v1_layout.RecordHead, head_bytes: bytes) -> tuple[bytes, bytes]:
        return v1_layout.read_payload(source, head, head_bytes, seed)

    return header, list(read_in_order(source, seed, header.record_samples, read))


def _packed(header: v1_layout.Header, records: Sequence[tuple[v1_layout.RecordHead, bytes]]) -> bytes:
    """A stream of that, with all checks right."""
    stream = v1_layout.pack_header(header)
    seed = int.from_bytes(stream[-v1_layout.CHECK_BYTES :])
    order = RecordOrder(seed)
    for head, payload in records:
        head = replace(head, payload_size=len(payload), order_check=order.check)
        record = v1_layout.pack_record(head, payload, seed)
        order.add(record[-v1_layout.CHECK_BYTES :])
        stream += record
    return stream


def _forged_payloads(draws: random.Random, subject: Subject) -> bytes:
    """A good stream but for the payload of some records, with the right checks."""
    header, records = _records(draws.choice(subject.streams))
    for place in draws.sample(range(len(records)), draws.choice((1, 1, len(records)))):
        head, payload = records[place]
        changed = bytearray(payload)
        changed[draws.randrange(len(changed))] ^= 1 << draws.randrange(8)
        size = len(payload)
        forged = (
            changed, draws.randbytes(size), bytes(size), b"\xff" * size, payload[:-1], payload + b"\0",
            payload[: draws.randrange(size)], payload + draws.randbytes(draws.choice((1, 9))),
        )  # fmt: skip
        records[place] = head, bytes(draws.choice(forged))
    return _packed(header, records)


def _swapped_lm(draws: random.Random, subject: Subject) -> bytes:
    """A good stream that says it was coded with another language model, with the right checks."""
    header, records = _records(draws.choice(subject.streams))
    return _packed(replace(header, lm_identity=draws.choice((subject.other_lm, draws.randbytes(8)))), records)


Make = Callable[[random.Random, Subject], bytes]
_DAMAGE: dict[str, Make] = {
    "cut": _cut, "longer": _longer, "flip": _flip, "edit": _edit, "move": _move, "splice": _splice, "noise": _noise,
}  # fmt: skip
_FORGERIES: dict[str, dict[str, Make]] = {
    "v0": {"forged": _forged_v0},
    "v1": {
        "forged header": _forged_header,
        "forged records": _forged_records,
        "forged payloads": _forged_payloads,
    },
}
