"""Range coding with integer tables: the same bytes on every machine.

A message is a number in [0, 1), written as its binary digits, eight to a byte, most significant first. Every symbol
narrows the interval of numbers that are still possible to its share: a symbol that has the slots `start ... start +
frequency - 1` out of `total` keeps, of an interval of `width` that begins at `low`,

    share = width // total
    low, width = low + share * start, share * frequency

`low` and `width` count in units of 2^-64; whenever `width` is under 2^48, the first 16 digits of `low` are settled but
for a carry, and the unit becomes 2^16 times finer. A message ends with the fewest bytes whose continuations, whatever
they be, all lie in the interval: the first n bytes of `v = ceil(low / cell) * cell`, where `cell = 2^(64 - 8 n)`, for
the least n with `v + cell <= low + width`. So a message costs the logarithms of its probabilities, up to 2^-16 bits a
symbol, and about half a byte.

    >>> data = range_encode([0, 3, 1], [1, 2, 2], [4, 5, 4])  # slot 0 of 4, slots 3 and 4 of 5, slots 1 and 2 of 4
    >>> data.hex()
    '2d'
    >>> decoder = RangeDecoder(data)
    >>> decoder.pull([1, 4, 1, 3, 5], [2, 3]), decoder.pull([1, 3, 4], [3])
    ([0, 2], [1])
    >>> decoder.finish()
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain, repeat

import numpy as np

from encodec_lab.entropy.arithmetic_coder import CorruptDataError

# Then a share is 2^17 at least, so rounding it down costs a symbol less than 2^-16 bits.
MAX_TOTAL = 1 << 31
_ROUNDING_BITS = 2.0**-16
_WINDOW_BITS = 64
_WORD_BITS = 16
_FULL = 1 << _WINDOW_BITS
_MASK = _FULL - 1
_LEAST_WIDTH = _FULL >> _WORD_BITS
_KEPT_BITS = _WINDOW_BITS - _WORD_BITS
_KEPT_MASK = (1 << _KEPT_BITS) - 1
_WORD_MASK = (1 << _WORD_BITS) - 1


def range_encode(starts: Iterable[int], frequencies: Iterable[int], totals: Iterable[int]) -> bytes:
    """The bytes of N symbols, each given by its first slot, its number of slots, at least 1, and those of its table.

    The caller sees to it that `0 <= start < start + frequency <= total <= MAX_TOTAL`. No symbols give no bytes.
    """
    low, width = 0, _FULL
    words: list[int] = []
    for start, frequency, total in zip(starts, frequencies, totals, strict=True):
        share = width // total
        low += share * start
        width = share * frequency
        if low >= _FULL:
            low -= _FULL
            _carry(words)
        while width < _LEAST_WIDTH:
            words.append(low >> _KEPT_BITS)
            low = (low & _KEPT_MASK) << _WORD_BITS
            width <<= _WORD_BITS
    value, num_bytes = _ending(low, width)
    if value >= _FULL:
        value -= _FULL
        _carry(words)
    return np.array(words, dtype=">u2").tobytes() + value.to_bytes(_WINDOW_BITS // 8)[:num_bytes]


def coded_size_bounds(num_symbols: int, largest_share: float, smallest_share: float) -> tuple[int, int]:
    """The fewest and the most bytes of so many symbols whose probabilities lie between two bounds."""
    fewest_bits = num_symbols * -math.log2(largest_share)
    most_bits = num_symbols * (-math.log2(smallest_share) + _ROUNDING_BITS)
    # An interval of 2^-b holds a whole cell of 2^-(b + 1). The tiny slack is for the logarithms' own rounding.
    return math.ceil(fewest_bits * (1 - 1e-9) / 8), math.ceil((most_bits * (1 + 1e-9) + 1) / 8)


class RangeDecoder:
    """Bytes to symbols, for tables equal to those of the encoder."""

    def __init__(self, data: bytes) -> None:
        self._num_bytes = len(data)
        padded = data + bytes(len(data) % 2)
        self._words = chain(np.frombuffer(padded, dtype=">u2").tolist(), repeat(0))
        self._num_settled = 0  # words
        self._low = 0
        self._width = _FULL
        self._number = 0  # what the data say, in the same unit; both are kept modulo 2^64
        for _ in range(_WINDOW_BITS // _WORD_BITS):
            self._number = self._number << _WORD_BITS | next(self._words)

    def pull(self, cumulative: Sequence[int], sizes: Iterable[int]) -> list[int]:
        """Decode one symbol after the other.

        Args:
            cumulative: the tables one behind the other; in each, entry i is the sum of the frequencies of symbols 0 ...
                i. A memoryview is fastest.
            sizes: of each table, the number of its symbols.

        Raises:
            CorruptDataError: no symbols of these tables lead to the data, or so many symbols take more than there are.
        """
        low, width, number = self._low, self._width, self._number
        symbols = []
        first = 0
        for size in sizes:
            last = first + size - 1
            total = cumulative[last]
            share = width // total
            slot = (number - low & _MASK) // share
            if slot >= total:
                raise CorruptDataError("the data are damaged, or were coded with other tables")
            place = bisect_right(cumulative, slot, first, last)
            start = cumulative[place - 1] if place > first else 0
            low = low + share * start & _MASK
            width = share * (cumulative[place] - start)
            while width < _LEAST_WIDTH:
                low = (low & _KEPT_MASK) << _WORD_BITS
                number = (number & _KEPT_MASK) << _WORD_BITS | next(self._words)
                width <<= _WORD_BITS
                self._num_settled += 1
            symbols.append(place - first)
            first = last + 1
        self._low, self._width, self._number = low, width, number
        if (
            self._num_settled * _WORD_BITS // 8 > self._num_bytes
        ):  # `finish` would find it, after as many as are claimed
            raise CorruptDataError("the data end too soon")
        return symbols

    def finish(self) -> None:
        """After the last symbol: CorruptDataError unless the data are exactly what the encoder gives."""
        value, num_bytes = _ending(self._low, self._width)
        expected = self._num_settled * _WORD_BITS // 8 + num_bytes
        if self._num_bytes != expected or self._number != value & _MASK:
            raise CorruptDataError(
                f"the data are damaged, or were coded with other tables: the symbols take {expected} bytes, and there"
                f" are {self._num_bytes}"
            )


def _carry(words: list[int]) -> None:
    place = len(words) - 1
    while words[place] == _WORD_MASK:
        words[place] = 0
        place -= 1
    words[place] += 1


def _ending(low: int, width: int) -> tuple[int, int]:
    """The number that ends a message in units of 2^-64, and in how many bytes of the window it is written."""
    for num_bytes in range(_WINDOW_BITS // 8 + 1):
        cell = _FULL >> 8 * num_bytes
        value = -(-low // cell) * cell
        if value + cell <= low + width:
            return value, num_bytes
    raise AssertionError("an interval of 2^48 units or more holds a whole cell of 2^40")
