"""The range coder: exact bytes, round trips, sizes, and data that no encoder wrote."""

import doctest
import random

import numpy as np
import pytest

from encodec_lab.entropy import range_coder
from encodec_lab.entropy.arithmetic_coder import CorruptDataError
from encodec_lab.entropy.range_coder import MAX_TOTAL, RangeDecoder, coded_size_bounds, range_encode

# Alphabet size and how far apart the logarithms of frequencies are: flat, peaked, nearly certain.
CASES = [(2, 0.0), (2, 20.0), (64, 1.0), (1024, 3.0), (1024, 20.0), (2048, 0.0)]
PEAK = 1 << 20


def _message(size: int, spread: float, num_symbols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Running sums of frequencies [N, V], and symbols [N], half of them likely and half of them any."""
    draws = np.random.default_rng(seed)
    logs = spread * draws.random((num_symbols, size))
    sums = (
        np.maximum(1, PEAK * np.exp(logs.min(axis=1, keepdims=True) - logs)).astype(np.int64).cumsum(axis=1)
    )
    slots = (draws.random(num_symbols) * sums[:, -1]).astype(np.int64)
    likely = (sums <= slots[:, None]).sum(axis=1)
    return sums, np.where(draws.random(num_symbols) < 0.5, likely, draws.integers(size, size=num_symbols))


def _shares(sums: np.ndarray, symbols: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """Starts, frequencies, totals."""
    rows = np.arange(len(symbols))
    upto = sums[rows, symbols]
    starts = np.where(symbols > 0, sums[rows, symbols - 1], 0)
    return starts.tolist(), (upto - starts).tolist(), sums[:, -1].tolist()


def _decode(data: bytes, sums: np.ndarray) -> list[int]:
    decoder = RangeDecoder(data)
    symbols = []
    for some in np.array_split(sums, 1 + len(sums) // 8):
        symbols += decoder.pull(
            memoryview(np.ascontiguousarray(some).reshape(-1)), [sums.shape[1]] * len(some)
        )
    decoder.finish()
    return symbols


def test_the_example() -> None:
    assert doctest.testmod(range_coder).failed == 0


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([], ""),
        ([(0, 1, 2)], "00"),
        ([(1, 1, 2)], "80"),
        ([(0, 1, MAX_TOTAL)], "00000000"),
        ([(MAX_TOTAL - 1, 1, MAX_TOTAL)], "fffffffe"),
        ([(1, 1, 3), (2, 1, 3), (0, 2, 3), (0, 3, 3), (1, 1, 3)], "95"),
        ([(1, 1 << 16, (1 << 16) + 1)] * 9, "01"),
    ],
)
def test_the_format_does_not_change(shares: list[tuple[int, int, int]], expected: str) -> None:
    data = range_encode(*zip(*shares, strict=True)) if shares else range_encode([], [], [])
    assert data.hex() == expected


def test_a_long_message_does_not_change() -> None:
    sums = np.cumsum(1 + np.arange(64)[:, None] * np.arange(50) % 61, axis=1)
    data = range_encode(*_shares(sums, np.arange(64) * 7 % 50))
    assert data.hex() == (
        "001e11a8c2fd15f7d1350c79babb98f1a45851aed9b86efbd83567f2fc7a8092b17253ba623a303703ed500aca8460b557"
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("size", "spread"), CASES)
def test_round_trip_in_as_few_bytes_as_the_probabilities_say(size: int, spread: float, seed: int) -> None:
    for num_symbols in (1, 2, 7, 200):
        sums, symbols = _message(size, spread, num_symbols, seed)
        starts, frequencies, totals = _shares(sums, symbols)
        data = range_encode(starts, frequencies, totals)
        assert _decode(data, sums) == symbols.tolist()
        shares = np.array(frequencies) / np.array(totals)
        ideal = -np.log2(shares).sum() / 8
        assert ideal <= len(data) <= 1.00001 * ideal + 1.5
        fewest, most = coded_size_bounds(num_symbols, shares.max(), shares.min())
        assert fewest <= len(data) <= most


def test_carries_run_through_many_words() -> None:
    """The message stays just below a settled digit's end, until its last symbols decide."""
    straddling = [(1, 1, 3)] + [(MAX_TOTAL // 2 - 1, 2, MAX_TOTAL)] * 20
    for last in (0, MAX_TOTAL - 1):
        shares = [*straddling, (last, 1, MAX_TOTAL)]
        decoder = RangeDecoder(range_encode(*zip(*shares, strict=True)))
        tables = [[1, 2, 3]] + [[MAX_TOTAL // 2 - 1, MAX_TOTAL // 2 + 1, MAX_TOTAL]] * 20
        assert [decoder.pull(table, [3]) for table in tables] == [[1]] * 21
        assert decoder.pull([1, MAX_TOTAL - 1, MAX_TOTAL], [3]) == [2 if last else 0]
        decoder.finish()


def test_other_data_are_refused() -> None:
    sums, symbols = _message(64, 3.0, 100)
    data = range_encode(*_shares(sums, symbols))
    others = [
        data + b"\0",
        data + b"\1",
        data[:-1],
        data[:-2],
        data[:10],
        b"",
        data[:-1] + bytes([data[-1] ^ 1]),
    ]
    for other in others:
        with pytest.raises(CorruptDataError):
            _decode(other, sums)


def test_any_bytes_are_refused_or_are_the_only_ones_for_their_symbols() -> None:
    sums, _ = _message(16, 2.0, 4)
    draws = random.Random(0)
    accepted = 0
    for _ in range(10_000):
        data = draws.randbytes(draws.randrange(5))
        try:
            symbols = _decode(data, sums)
        except CorruptDataError:
            continue
        accepted += 1
        assert range_encode(*_shares(sums, np.array(symbols))) == data
    assert accepted > 10
