"""Coding with the integer language model: round trips, every computer alike, and bytes that no encoder wrote."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import integer_tables
import numpy as np
import pytest
import torch
from integer_tables import decode, encode

from encodec_lab.bitstream.code_payload import CodedRecord
from encodec_lab.bitstream.lm_coder import IntegerLMCoder
from encodec_lab.entropy.arithmetic_coder import CorruptDataError
from encodec_lab.entropy.varint import encode_varint
from encodec_lab.models.identity import module_identity
from encodec_lab.models.integer_lm_stream import IntegerLMStream

OLD_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    # Of NumPy and its matrix products.
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    "OPENBLAS_CORETYPE": "NEHALEM",
}
COMPUTERS = [
    ({}, 1),
    ({}, 2),
    ({"ATEN_CPU_CAPABILITY": "default"}, 1),
    ({"ATEN_CPU_CAPABILITY": "avx2"}, 1),
    ({"ATEN_CPU_CAPABILITY": "avx512"}, 1),
    ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, 1),
    ({"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, 1),
    (OLD_PROCESSOR, 2),
]


@pytest.fixture(scope="module", params=["small", "within"])
def case(request: pytest.FixtureRequest) -> tuple[IntegerLMCoder, np.ndarray]:
    """A coder, and codes [8, L] of four seconds."""
    codes = integer_tables.real_codes(request.param, seconds=4)
    return IntegerLMCoder(integer_tables.integer_lm(request.param, codes)), codes.numpy()


def _on_computer(path: Path, variables: dict[str, str], num_threads: int) -> str:
    program = [sys.executable, integer_tables.__file__, str(path), str(num_threads)]
    tests = str(Path(integer_tables.__file__).parent)
    environment = os.environ | {"PYTHONPATH": tests} | variables
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_stream_decodes_on_another_processor(
    case: tuple[IntegerLMCoder, np.ndarray], tmp_path: Path
) -> None:
    coder, codes = case
    size = "within" if coder._lm.config.architecture.within_frame else "small"
    path = tmp_path / "case"
    integer_tables.save_case(path, size, coder._lm, torch.from_numpy(codes), encode(coder, codes))
    assert _on_computer(path, OLD_PROCESSOR, 2) == integer_tables.describe_case(path)


@pytest.mark.slow
def test_full_size_tables_of_a_minute_are_the_same_on_every_computer(tmp_path: Path) -> None:
    codes = integer_tables.real_codes("full", seconds=60)
    assert codes.shape == (8, 4500)
    lm = integer_tables.integer_lm("full", codes)
    integer_tables.save_case(tmp_path / "case", "full", lm, codes)
    found = {_on_computer(tmp_path / "case", *computer) for computer in COMPUTERS}
    assert len(found) == 1
    # Ten seconds of the stream, decoded step by step where nothing is as it was where it was encoded.
    part = codes[:, :750]
    stream = encode(IntegerLMCoder(lm), part.numpy())
    integer_tables.save_case(tmp_path / "part", "full", lm, part, stream)
    assert _on_computer(tmp_path / "part", OLD_PROCESSOR, 2).endswith(stream.hex())


def test_records_in_lockstep_are_those_alone(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    records = [
        codes[:3, :40],
        codes[:, 40:100],
        codes[:, 100:101],
        codes[:3, :0],
        codes[:, 7:67],
        codes[:1, :90],
    ]
    streams = coder.encode(records)
    assert streams == [encode(coder, record) for record in records]
    shapes = [record.shape for record in records]
    decoded = coder.decode([CodedRecord(data, *shape) for data, shape in zip(streams, shapes, strict=True)])
    for data, record, together in zip(streams, records, decoded, strict=True):
        assert np.array_equal(together, record)
        assert together.dtype == np.int64
        assert np.array_equal(decode(coder, data, *record.shape), record)
    assert coder.decode([]) == []


def test_long_records_are_coded_in_halves(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    for num_frames in (149, 150, 151):
        record = codes[:2, :num_frames]
        (content,) = coder.encode([record])
        if num_frames >= 150:
            first, second = coder.encode([record[:, :-75], record[:, -75:]])
            assert content == encode_varint(len(first)) + first + second
        assert np.array_equal(decode(coder, content, *record.shape), record)
    size = len(encode_varint(len(first)))
    for wrong in (b"", b"\x80", encode_varint(len(content)) + content[size:], b"\xff" * 10 + content):
        with pytest.raises(CorruptDataError, match="first half"):
            decode(coder, wrong, *record.shape)


def test_sizes_lie_within_their_bounds(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    draws = np.random.default_rng(0)
    unlikely = draws.integers(64, size=codes.shape)
    for record in (codes, unlikely, codes[:1, :1]):
        fewest, most = coder.size_bounds(*record.shape)
        assert 0 < fewest <= len(encode(coder, record)) <= most
    assert coder.size_bounds(8, 300)[1] < 4 * 8 * 300


def test_damage_gives_an_error_or_other_codes(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    record = codes[:, :4]
    data = encode(coder, record)
    draws = random.Random(0)
    refused = 0
    damaged = [data[:length] for length in range(len(data))] + [data + b"\0", data + b"\x80"]
    damaged += [draws.randbytes(draws.randrange(2 * len(data))) for _ in range(100)]
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= draws.randrange(1, 256)
        damaged.append(bytes(changed))
    for other in damaged:
        try:
            decoded = decode(coder, other, *record.shape)
        except CorruptDataError:
            refused += 1
            continue
        assert decoded.shape == record.shape
        assert decoded.min() >= 0
        assert decoded.max() < 64
        assert not np.array_equal(decoded, record)
    assert refused > 0.9 * len(damaged)


@pytest.mark.parametrize("data", [bytes(100), random.Random(0).randbytes(100)], ids=["zeros", "noise"])
def test_a_claimed_length_costs_no_more_than_the_bytes_that_are_there(
    case: tuple[IntegerLMCoder, np.ndarray], data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, _ = case
    advance = IntegerLMStream.advance
    num_frames = 0

    def count(*arguments: Any) -> None:
        nonlocal num_frames
        num_frames += 1
        advance(*arguments)

    monkeypatch.setattr(IntegerLMStream, "advance", count)
    with pytest.raises(CorruptDataError):
        coder.decode([CodedRecord(data, 2, 4_500)])
    assert num_frames < 8 * len(data)


def test_another_language_model_does_not_decode(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    other = IntegerLMCoder(integer_tables.integer_lm("small", torch.from_numpy(codes) // 2))
    assert other.lm_identity != coder.lm_identity
    with pytest.raises(CorruptDataError):
        decode(other, encode(coder, codes), *codes.shape)


def test_identity_is_the_start_of_the_hash(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, _ = case
    assert coder.lm_identity is not None
    assert module_identity(coder._lm).startswith(coder.lm_identity.hex())
    assert len(coder.lm_identity) == 8


def test_codes_that_cannot_be(case: tuple[IntegerLMCoder, np.ndarray]) -> None:
    coder, codes = case
    with pytest.raises(ValueError, match=r"codes must lie in 0\.\.\.63, got -1"):
        encode(coder, np.where(codes == codes[0, 0], -1, codes))
    with pytest.raises(ValueError, match="has 13 codebooks, got codes of 14"):
        encode(coder, np.zeros((14, 1), dtype=np.int64))
    with pytest.raises(ValueError, match="has 13 codebooks, got codes of 14"):
        decode(coder, b"\0", 14, 1)
