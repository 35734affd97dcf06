"""The float arithmetic coder: the reference's bytes, round trips, and data that no encoder wrote."""

import io
from types import ModuleType

import numpy as np
import pytest
import torch

from encodec_lab.entropy.arithmetic_coder import (
    ArithmeticDecoder,
    ArithmeticEncoder,
    CorruptDataError,
    UncodableError,
    coded_size_bounds,
    cumulative_widths,
)

# Alphabet size and how far apart logits are: flat, peaked, nearly certain.
CASES = [(2, 1.0), (64, 0.1), (1024, 1.0), (1024, 8.0), (1024, 60.0), (16, 8.0)]


def _random_message(
    alphabet_size: int, spread: float, num_symbols: int = 200, likely: bool = True
) -> tuple[torch.Tensor, list[int]]:
    """Distributions [V, N], and symbols that are drawn from them, or from all alike."""
    draws = torch.Generator().manual_seed(alphabet_size + int(spread))
    probabilities = (spread * torch.randn(num_symbols, alphabet_size, generator=draws)).softmax(dim=-1)
    weights = probabilities if likely else torch.ones_like(probabilities)
    return probabilities.t(), torch.multinomial(weights, 1, generator=draws)[:, 0].tolist()


def _encode(tables: np.ndarray, symbols: list[int]) -> bytes:
    encoder = ArithmeticEncoder()
    for table, symbol in zip(tables, symbols, strict=True):
        encoder.push(table, symbol)
    return encoder.finish()


def _decode(data: bytes, tables: np.ndarray) -> list[int]:
    decoder = ArithmeticDecoder(data)
    return [decoder.pull(table) for table in tables]


@pytest.mark.parametrize("likely", [True, False])
@pytest.mark.parametrize(("alphabet_size", "spread"), CASES)
def test_tables_and_bytes_equal_the_reference(
    reference_package: ModuleType, alphabet_size: int, spread: float, likely: bool
) -> None:
    from encodec.quantization.ac import ArithmeticCoder, build_stable_quantized_cdf

    probabilities, symbols = _random_message(alphabet_size, spread, likely=likely)
    tables = cumulative_widths(probabilities)
    file = io.BytesIO()
    coder = ArithmeticCoder(file)
    for column, table, symbol in zip(probabilities.t(), tables, symbols, strict=True):
        expected = build_stable_quantized_cdf(column, coder.total_range_bits, check=False)
        assert expected.tolist() == table.tolist()
        coder.push(symbol, expected)
    coder.flush()
    assert _encode(tables, symbols) == file.getvalue()


@pytest.mark.parametrize("likely", [True, False])
@pytest.mark.parametrize(("alphabet_size", "spread"), CASES)
def test_round_trip_reads_what_was_written_and_no_more(
    alphabet_size: int, spread: float, likely: bool
) -> None:
    probabilities, symbols = _random_message(alphabet_size, spread, likely=likely)
    tables = cumulative_widths(probabilities)
    data = _encode(tables, symbols)
    fewest, most = coded_size_bounds(len(symbols), alphabet_size)
    assert fewest <= len(data) <= most
    decoder = ArithmeticDecoder(data + b"what follows")
    assert [decoder.pull(table) for table in tables] == symbols
    assert decoder.num_bytes_read == len(data)


def test_size_is_near_the_entropy() -> None:
    probabilities, symbols = _random_message(1024, 3.0, num_symbols=1000)
    information_bits = -probabilities.t()[range(1000), symbols].log2().sum().item()
    size_bits = 8 * len(_encode(cumulative_widths(probabilities), symbols))
    assert information_bits < size_bits < 1.01 * information_bits + 32


def test_certain_and_impossible_symbols() -> None:
    probabilities = torch.zeros(1024, 1)
    probabilities[7] = 1.0
    (table,) = cumulative_widths(probabilities)
    assert table[-1] == 1 << 24
    for symbols in ([7] * 5000, [3, 1023, 0, 7, 7, 500]):
        data = _encode(np.tile(table, (len(symbols), 1)), symbols)
        fewest, most = coded_size_bounds(len(symbols), 1024)
        assert fewest <= len(data) <= most
        decoder = ArithmeticDecoder(data)
        assert [decoder.pull(table) for _ in symbols] == symbols


def test_bounds_for_a_message_as_cheap_as_can_be() -> None:
    """A symbol that takes all but the least of the range, so often that the bound is more than the first bytes."""
    probabilities = torch.zeros(1 << 16, 1)
    probabilities[0] = 1.0
    (table,) = cumulative_widths(probabilities)
    encoder = ArithmeticEncoder()
    for _ in range(20_000):
        encoder.push(table, 0)
    fewest, _ = coded_size_bounds(20_000, 1 << 16)
    assert 3 < fewest <= len(encoder.finish()) < 4 * fewest


def test_nothing_at_all() -> None:
    assert ArithmeticEncoder().finish() == b""
    assert ArithmeticDecoder(b"").num_bytes_read == 0


def test_data_that_end_too_soon() -> None:
    probabilities, symbols = _random_message(64, 1.0, num_symbols=40)
    tables = cumulative_widths(probabilities)
    data = _encode(tables, symbols)
    for size in range(len(data)):
        with pytest.raises(CorruptDataError, match="end too soon"):
            _decode(data[:size], tables)


def test_random_data_give_symbols_or_an_error() -> None:
    probabilities, _ = _random_message(1024, 4.0)
    tables = cumulative_widths(probabilities)
    draws = np.random.default_rng(0)
    ends = set()
    for _ in range(100):
        decoder = ArithmeticDecoder(draws.bytes(300))
        try:
            assert all(0 <= decoder.pull(table) < 1024 for table in tables)
            ends.add("symbols")
        except CorruptDataError as error:
            ends.add(str(error))
    assert "the data are damaged, or were coded with other probabilities" in ends


def test_tables_need_probabilities() -> None:
    for bad in (torch.nan, torch.inf, -0.5):
        with pytest.raises(ValueError, match="finite and not negative"):
            cumulative_widths(torch.tensor([[0.5], [bad]]))
    with pytest.raises(ValueError, match="at most 8388608 symbols"):
        cumulative_widths(torch.zeros(8_388_609, 1))


def _reference_round_trip(tables: np.ndarray, symbols: list[int]) -> bytes | None:
    """The reference's bytes, or None if it fails to write them or to read them back."""
    from encodec.quantization.ac import ArithmeticCoder, ArithmeticDecoder

    file = io.BytesIO()
    coder = ArithmeticCoder(file)
    rows = torch.from_numpy(tables)
    try:
        for row, symbol in zip(rows, symbols, strict=True):
            coder.push(symbol, row)
        coder.flush()
        file.seek(0)
        decoder = ArithmeticDecoder(file)
        read = [decoder.pull(row) for row in rows]
    except (AssertionError, RuntimeError):
        return None
    return file.getvalue() if read == symbols else None


def test_tables_that_rise_above_the_range_by_rounding(reference_package: ModuleType) -> None:
    """Ours gives the reference's bytes if that can read them back, and refuses exactly what it cannot."""
    # In the second the last symbol has the least width, so that much of it lies beyond.
    kinds = cumulative_widths(torch.tensor([[0.3, 0.3], [0.3, 0.7000001], [0.4000001, 0.0]]))
    assert (kinds[:, -1] > 1 << 24).all()
    draws = np.random.default_rng(0)
    num_coded = num_refused = 0
    for _ in range(400):
        length = int(draws.integers(1, 12))
        symbols = [2 if draws.random() < 0.5 else int(draws.integers(3)) for _ in range(length)]
        tables = kinds[draws.integers(2, size=length)]
        expected = _reference_round_trip(tables, symbols)
        try:
            data = _encode(tables, symbols)
        except UncodableError:
            num_refused += 1
            assert expected is None, symbols
        else:
            num_coded += 1
            assert data == expected, symbols
            assert _decode(data, tables) == symbols
    assert num_coded > 20 and num_refused > 20
