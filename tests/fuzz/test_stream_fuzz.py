"""Hostile streams: an `EcdcError` or a success, in bounded time and memory; in version 1 never other samples.

A short version runs with the suite; `make fuzz` sets ENCODEC_FUZZ and runs 160,000 cases on the readers, as many on
`--info`, and 8,000 through codecs and the command.
"""

import collections
import io
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from cli.commands import Capture
from fuzz.stream_cases import Case, draw_cases, swapped_lms, truncations
from fuzz.subjects import Subject, make_subjects

from encodec_lab.bitstream import lm_coder, record_reader, v0, v1_layout
from encodec_lab.bitstream.byte_source import ByteSource
from encodec_lab.bitstream.compress import decompress
from encodec_lab.bitstream.stream_info import inspect_stream
from encodec_lab.bitstream.stream_reader import StreamReader, coder_of_stream, read_known_version
from encodec_lab.cli import model_choice
from encodec_lab.cli.main import main
from encodec_lab.models.identity import short_identity
from encodec_lab.types import EcdcError

MAX_CASE_S = 5
MAX_ADDED_BYTES = 500 << 20
BATCH = 500
# For each of eight subjects; in parts, so that several processes can share them.
LONG = [pytest.mark.slow, pytest.mark.skipif("ENCODEC_FUZZ" not in os.environ, reason="long: make fuzz")]
READER_RUNS = [pytest.param(0, 240), *(pytest.param(seed, 1_000, marks=LONG) for seed in range(1, 21))]
CODEC_RUNS = [pytest.param(0, 8), *(pytest.param(seed, 40, marks=LONG) for seed in range(1, 6))]


@pytest.fixture(scope="module")
def all_subjects() -> list[Subject]:
    return make_subjects()


@pytest.fixture(
    params=["v0", "v0 segments", "v0 lm", "v1", "v1 segments", "v1 lm", "v1 lm halves", "v1 lm segments"]
)
def subject(
    all_subjects: list[Subject], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Subject:
    """One of the subjects, whose identity is not computed anew for every case."""
    known = [module for one in all_subjects for module in (one.model, one.model.get_lm_model())]
    identities = {id(module): short_identity(module) for module in known}
    for reader in (record_reader, lm_coder):
        monkeypatch.setattr(reader, "short_identity", lambda module: identities[id(module)])
    return next(one for one in all_subjects if one.name == request.param)


def _parse(data: bytes, subject: Subject) -> None:
    """All that a stream says, without decoding it."""
    source = ByteSource(io.BytesIO(data))
    if read_known_version(source) == v0.VERSION:
        header = v0.read_header(source)
        payload = v0.read_payload(source, header, subject.model)
        lm = subject.model.get_lm_model() if header.uses_lm else None
        v0.read_frames(payload, header, subject.model, lm)
    else:
        header_v1, seed = v1_layout.read_header(source)
        coder = coder_of_stream(header_v1, subject.model)
        for _ in record_reader.RecordReader(source, header_v1, seed, subject.model, coder).records():
            pass


def _decompress(data: bytes, subject: Subject) -> None:
    wav, _ = decompress(data, model=subject.model)
    assert wav.isfinite().all() and wav.shape[0] == subject.model.channels


def _salvage(data: bytes, subject: Subject) -> None:
    reader = StreamReader(io.BytesIO(data), model=subject.model, salvage=True)
    num_samples = sum(piece.shape[-1] for piece in reader.pieces())
    assert num_samples >= sum(length for _, length in reader.lost)


def _check(cases: Iterable[Case], subject: Subject, read: Callable[[bytes, Subject], None]) -> None:
    """Every case is refused or read; a damaged stream of version 1 is refused."""
    results = collections.Counter[tuple[str, bool]]()
    for batch in _batches(cases):
        with _bounded_memory():
            for case in batch:
                try:
                    with _bounded_time(case):
                        read(case.data, subject)
                    was_read, message = True, "none"
                except EcdcError as error:
                    was_read, message = False, str(error)
                assert 0 < len(message) < 600
                if case.is_damaged and subject.format == "v1" and read is not _salvage:
                    assert not was_read, f"{case.kind}: other samples, and no error: {case.data.hex()}"
                results[case.kind, was_read] += 1
    print(subject.name, read.__name__, sum(results.values()), dict(sorted(results.items())))


@contextmanager
def _bounded_time(case: Case) -> Iterator[None]:
    """Processor time, so that other work on the machine does not matter."""

    def stop(*_: object) -> None:
        raise AssertionError(f"{case.kind}: more than {MAX_CASE_S} s: {case.data.hex()}")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MAX_CASE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """The most memory that the process held; Linux can measure it anew."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    yield
    assert _peak_bytes() - before < MAX_ADDED_BYTES


def _peak_bytes() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return 1024 * int(line.split()[1])


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    batch = []
    for case in cases:
        batch.append(case)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def test_the_good_streams_are_read(subject: Subject) -> None:
    for stream in subject.streams:
        _parse(stream, subject)
        _decompress(stream, subject)
        assert inspect_stream(io.BytesIO(stream)).damage is None


def test_the_limits_are_kept(monkeypatch: pytest.MonkeyPatch, subject: Subject) -> None:
    """What takes too long or too much fails here, whoever is to blame."""
    cases = [Case(b"", "the case", False)]

    def loop(*_: object) -> None:
        while True:
            pass

    monkeypatch.setitem(globals(), "MAX_CASE_S", 0.05)
    with pytest.raises(AssertionError, match="the case: more than"):
        _check(cases, subject, loop)
    monkeypatch.setitem(globals(), "MAX_CASE_S", 60)
    monkeypatch.setitem(globals(), "MAX_ADDED_BYTES", 50 << 20)
    if os.access("/proc/self/clear_refs", os.W_OK):
        with pytest.raises(AssertionError, match="assert"):
            _check(cases, subject, lambda *_: torch.ones(25 << 20))
    _check(cases, subject, lambda *_: None)


def test_every_truncation_is_found(subject: Subject) -> None:
    cases = list(truncations(subject))
    for case in cases if subject.name != "v0 lm" else cases[::5]:
        with pytest.raises(EcdcError):
            _parse(case.data, subject)


def test_another_language_model_is_refused(subject: Subject) -> None:
    for case in swapped_lms(subject, 20):
        assert inspect_stream(io.BytesIO(case.data)).damage is None
        for read in (_parse, _decompress, _salvage):
            with pytest.raises(EcdcError, match="coded with the language model .* but the one of model"):
                read(case.data, subject)


@pytest.mark.parametrize(("seed", "num_cases"), READER_RUNS)
def test_readers(subject: Subject, seed: int, num_cases: int) -> None:
    _check(draw_cases(subject, seed, num_cases), subject, _parse)


@pytest.mark.parametrize(("seed", "num_cases"), READER_RUNS)
def test_inspection(subject: Subject, seed: int, num_cases: int) -> None:
    def inspect(data: bytes, subject: Subject) -> None:
        info = inspect_stream(io.BytesIO(data))
        if info.damage is not None:
            raise EcdcError(info.damage)

    _check(draw_cases(subject, seed, num_cases), subject, inspect)


@pytest.mark.parametrize(("seed", "num_cases"), CODEC_RUNS)
@pytest.mark.parametrize("read", [_decompress, _salvage])
def test_codecs(subject: Subject, read: Callable[[bytes, Subject], None], seed: int, num_cases: int) -> None:
    _check(draw_cases(subject, seed, num_cases), subject, read)


@pytest.mark.parametrize(("seed", "num_cases"), CODEC_RUNS)
@pytest.mark.parametrize("options", [(), ("--salvage",), ("--restore",)])
def test_the_command(
    subject: Subject,
    options: tuple[str, ...],
    seed: int,
    num_cases: int,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line for each stream that is refused, all others are written."""
    monkeypatch.setattr(model_choice, "load_model", lambda name: subject.model)
    cases = list(draw_cases(subject, seed, num_cases))
    for number, case in enumerate(cases):
        (tmp_path / f"{number:03}.ecdc").write_bytes(case.data)
    main(["--model", "any", *options, "--output-dir", str(tmp_path / "out"), str(tmp_path)])
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    lines = err.splitlines()
    assert all(line.startswith("encodec: ") and "\x1b" not in line for line in lines)
    written = {path.name for path in (tmp_path / "out").glob("*")}
    for number, case in enumerate(cases):
        path = tmp_path / f"{number:03}.ecdc"
        refused = f"{path.stem}_decompressed.wav" not in written
        told = [line for line in lines if str(path) in line]
        assert len(told) == 1 or not refused, (case.kind, told)
        assert refused or not case.is_damaged or subject.format != "v1" or options == ("--salvage",)
