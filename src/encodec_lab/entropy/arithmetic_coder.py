"""Arithmetic coding with probabilities in floating point: bit for bit the coder of the reference implementation.

A message is an interval of integers, which every symbol narrows to its share. Whenever the interval is smaller than
2^24, all numbers get another bit at the end; leading bits that both ends share are settled, and leave. The decoder
does the same to the same interval, and reads a bit where the encoder made one, so it reads exactly what was written.

The shares are integer tables (`cumulative_widths`), but these come out of floating point: who decodes must compute the
very same probabilities. On another machine, or with another number of threads, the last bit of a softmax may differ,
and then decoding fails. Only the `.ecdc` format v0 uses this coder, because the reference does.

    >>> tables = cumulative_widths(torch.tensor([[0.5, 0.1], [0.3, 0.1], [0.2, 0.8]]))  # columns: two distributions
    >>> encoder = ArithmeticEncoder()
    >>> for table, symbol in zip(tables, [0, 2]):
    ...     encoder.push(table, symbol)
    >>> data = encoder.finish()
    >>> decoder = ArithmeticDecoder(data)
    >>> [decoder.pull(table) for table in tables]
    [0, 2]
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.entropy.bit_packing import pack_bits

RANGE_BITS = 24
MIN_WIDTH = 2
_ROUNDING = 1e-8
_FULL = 1 << RANGE_BITS


class UncodableError(ValueError):
    """Symbols that this coder cannot code with these tables: no decoder would get them back."""


class CorruptDataError(ValueError):
    """Data that no encoder wrote with these tables, or only the start of what one wrote."""


def cumulative_widths(probabilities: Tensor) -> NDArray[np.int64]:
    """Integer tables [N, V], each rising to about 2^24 in steps of 2 or more, for distributions [V, N].

    Probabilities are rounded down to multiples of 1e-8; each symbol gets 2, and the rest is shared by probability. The
    arithmetic, on the device of the probabilities and in their precision, is the reference's; so is that a table may
    rise a few above 2^24, where float32 probabilities sum to a little more than one.

    Raises:
        ValueError: a probability is negative or not finite, or there are too many symbols.
    """
    num_symbols = probabilities.shape[0]
    shared = _FULL - MIN_WIDTH * num_symbols
    if shared < 0:
        raise ValueError(
            f"at most {_FULL // MIN_WIDTH} symbols can share a range of {_FULL}, got {num_symbols}"
        )
    rounded = (probabilities / _ROUNDING).floor() * _ROUNDING
    if not bool((rounded.isfinite() & (rounded >= 0)).all()):
        raise ValueError("probabilities must be finite and not negative, got others among them")
    widths = (rounded * float(shared)).floor().long() + MIN_WIDTH
    tables: NDArray[np.int64] = widths.t().cpu().numpy().cumsum(axis=1)
    return tables


def coded_size_bounds(num_symbols: int, alphabet_size: int) -> tuple[int, int]:
    """The fewest and the most bytes that so many symbols (at least one) can take, whatever the tables.

    A symbol makes for 24 new bits at most, the first one exactly. The likeliest symbol of a table leaves 2 of 2^24 to
    each of the others, so it costs -log2(1 - 2 (V - 1) / 2^24) bits, which is more than 2 (V - 1) / 2^24; half of that
    is taken, as tables may rise a little above 2^24.
    """
    first = RANGE_BITS // 8
    fewest_bits = num_symbols * MIN_WIDTH * (alphabet_size - 1) // 2 >> RANGE_BITS
    return max(first, fewest_bits // 8), first * num_symbols


class _Interval:
    """The numbers low ... high of `num_bits` bits each that are still possible."""

    def __init__(self) -> None:
        self.low = 0
        self.high = 0
        self.num_bits = 0

    def widen(self) -> int:
        """Append bits until the interval is at least 2^24 wide; how many."""
        num_new = max(0, RANGE_BITS + 1 - (self.high - self.low + 1).bit_length())
        self.low <<= num_new
        self.high = ((self.high + 1) << num_new) - 1
        self.num_bits += num_new
        return num_new

    def narrow(self, table: NDArray[np.int64], symbol: int) -> None:
        """Keep the share of one symbol. Shares leave gaps between them, by how the reference rounds."""
        below = int(table[symbol - 1]) if symbol else 0
        upto = int(table[symbol]) - 1
        width = self.high - self.low + 1
        self.high = self.low + (upto * width >> RANGE_BITS)
        self.low += -(-below * width >> RANGE_BITS)

    def settle(self) -> tuple[int, int]:
        """Drop the leading bits that all numbers share: their value, and how many they were."""
        num_open = (self.low ^ self.high).bit_length()
        num_settled = self.num_bits - num_open
        prefix = self.low >> num_open
        self.low -= prefix << num_open
        self.high -= prefix << num_open
        self.num_bits = num_open
        return prefix, num_settled


class ArithmeticEncoder:
    """Symbols to bytes; bits are packed least significant first."""

    def __init__(self) -> None:
        self._interval = _Interval()
        self._bits = bytearray()  # one bit each
        # Where a table rises above 2^24, its last symbol has a share of what belongs to others. A decoder finds it only
        # if the message as a whole ends up no higher than this, which is a number of the interval's scale.
        self._ceiling: int | None = None

    def push(self, table: NDArray[np.int64], symbol: int) -> None:
        """Encode a symbol, 0 ... V - 1, with its table [V].

        Raises:
            UncodableError: the table rises above 2^24, and this symbol or one before it fell beyond that, where the
                reference writes what it cannot read, or fails.
        """
        interval = self._interval
        num_new = interval.widen()
        if self._ceiling is not None:
            self._ceiling = ((self._ceiling + 1) << num_new) - 1
        last = interval.high
        interval.narrow(table, symbol)
        if interval.high > last:
            self._ceiling = last if self._ceiling is None else min(last, self._ceiling)
        if self._ceiling is not None and interval.high <= self._ceiling:
            self._ceiling = None
        if interval.high >> interval.num_bits or (self._ceiling is not None and interval.low > self._ceiling):
            raise UncodableError(
                f"the probabilities sum to more than one by rounding, and symbol {symbol} falls beyond it"
            )
        prefix, num_settled = interval.settle()
        if self._ceiling is not None:
            self._ceiling -= prefix << interval.num_bits
        self._emit(prefix, num_settled)

    def finish(self) -> bytes:
        """The bytes of all symbols, the least number of the interval; nothing may be pushed afterwards."""
        self._emit(self._interval.low, self._interval.num_bits)
        return pack_bits(np.frombuffer(self._bits, dtype=np.uint8), width=1)

    def _emit(self, value: int, num_bits: int) -> None:
        self._bits += bytes(value >> shift & 1 for shift in reversed(range(num_bits)))


class ArithmeticDecoder:
    """Bytes to symbols, for tables equal to those of the encoder; `data` may go on after what was encoded."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._interval = _Interval()
        self._number = 0  # the one of the interval that the data say
        self._num_bits_read = 0

    @property
    def num_bytes_read(self) -> int:
        """After the last symbol: the bytes that `ArithmeticEncoder.finish` gave."""
        return (self._num_bits_read + 7) // 8

    def pull(self, table: NDArray[np.int64]) -> int:
        """Decode one symbol with its table [V].

        Raises:
            CorruptDataError: the data end, or say what no symbol of the table can have led to.
        """
        interval = self._interval
        self._read_bits(interval.widen())
        target = ((self._number - interval.low) << RANGE_BITS) // (interval.high - interval.low + 1)
        symbol = int(np.searchsorted(table, target, side="right"))
        if symbol < len(table):
            interval.narrow(table, symbol)
        if symbol == len(table) or not interval.low <= self._number <= interval.high:
            raise CorruptDataError("the data are damaged, or were coded with other probabilities")
        prefix, _ = interval.settle()
        self._number -= prefix << interval.num_bits
        return symbol

    def _read_bits(self, count: int) -> None:
        end = self._num_bits_read + count
        if end > 8 * len(self._data):
            raise CorruptDataError("the data end too soon")
        for position in range(self._num_bits_read, end):
            self._number = self._number << 1 | (self._data[position >> 3] >> (position & 7) & 1)
        self._num_bits_read = end
