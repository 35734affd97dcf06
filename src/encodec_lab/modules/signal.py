"""Resampling and mel filterbanks: the only file of the package that imports torchaudio."""

import functools
import math
from typing import Literal, NamedTuple

import torch
import torchaudio.functional
import torchaudio.transforms
from torch import Tensor
from torch.nn import functional

# Of the windowed sinc: its zero crossings to each side, and its cut-off as a share of the lower Nyquist frequency.
_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
# torchaudio makes a table of (from_hz / gcd) * (to_hz / gcd) taps: 8 GB from 44,101 to 24,000 Hz. The limit is passed
# by no pair of rates in common use.
_MAX_TABLE_TAPS = 1 << 26
_TAPS_AT_A_TIME = 1 << 21
# Fewer columns make matrix products slow.
_MIN_GROUP_OUTPUTS = 32
# A megabyte for each pair of rates in use.
_MAX_REMEMBERED_TAPS = 1 << 18


def resample(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Resample by windowed-sinc interpolation: [..., T] at `from_hz` to [..., ceil(T * to_hz / from_hz)] at `to_hz`.

    Any two rates, in bounded memory. Raises ValueError unless they are positive.
    """
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"sample rates must be positive, got {from_hz} Hz and {to_hz} Hz")
    if from_hz == to_hz:
        return wav
    divisor = math.gcd(from_hz, to_hz)
    num_taps = (from_hz // divisor) * (to_hz // divisor)
    if num_taps > _MAX_TABLE_TAPS:
        return _resample_without_table(wav, from_hz, to_hz)
    build = _filter_bank if num_taps <= _MAX_REMEMBERED_TAPS else _filter_bank.__wrapped__
    bank = build(from_hz // divisor, to_hz // divisor, wav.dtype, wav.device)
    num_resampled = -(-wav.shape[-1] * to_hz // from_hz)
    num_groups = max(1, -(-num_resampled // bank.filters.shape[1]))
    missing = num_groups * bank.stride + bank.width - wav.shape[-1]
    # A matrix product: as fast as a convolution of this stride, and not slower for every length that it has not seen.
    groups = functional.pad(wav, (bank.width, missing)).unfold(-1, bank.filters.shape[0], bank.stride)
    resampled: Tensor = (groups @ bank.filters).flatten(-2)
    return resampled[..., :num_resampled]


class _FilterBank(NamedTuple):
    """The filters of several neighbouring outputs, which repeat from group to group.

    Attributes:
        filters: [taps, outputs of a group].
        stride: how many inputs lie between groups.
        width: how many inputs the first output of a group hears before its own place.
    """

    filters: Tensor
    stride: int
    width: int


@functools.lru_cache(maxsize=128)
def _filter_bank(from_hz: int, to_hz: int, dtype: torch.dtype, device: torch.device) -> _FilterBank:
    """As torchaudio makes them, for rates without a common divisor; remembered, since making takes as long as use."""
    made = torchaudio.transforms.Resample(
        from_hz, to_hz, lowpass_filter_width=_ZERO_CROSSINGS, rolloff=_ROLLOFF, dtype=dtype
    )
    kernel = made.kernel[:, 0].to(device)  # [outputs, taps]
    num_outputs, num_taps = kernel.shape
    num_repeats = -(-_MIN_GROUP_OUTPUTS // num_outputs)
    filters = kernel.new_zeros(num_repeats * num_outputs, num_taps + (num_repeats - 1) * from_hz)
    for k in range(num_repeats):
        filters[k * num_outputs : (k + 1) * num_outputs, k * from_hz : k * from_hz + num_taps] = kernel
    return _FilterBank(filters.T.contiguous(), num_repeats * from_hz, made.width)


def _resample_without_table(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """The same formula as torchaudio's, its filters computed where they are used."""
    num_samples = -(-wav.shape[-1] * to_hz // from_hz)
    bandwidth_hz = min(from_hz, to_hz) * _ROLLOFF
    reach = resampling_reach(from_hz, to_hz)
    offsets = torch.arange(-reach, reach + 1, device=wav.device)
    padded = functional.pad(wav, (reach, reach))
    pieces = [wav.new_zeros(*wav.shape[:-1], 0)]
    step = max(1, _TAPS_AT_A_TIME // len(offsets))
    for start in range(0, num_samples, step):
        times = torch.arange(start, min(start + step, num_samples), device=wav.device) * from_hz
        places = (times // to_hz)[:, None] + offsets  # [N, taps]
        # In integers up to here: hours of samples have no exact places in floating point.
        crossings = (offsets - (times % to_hz)[:, None].double() / to_hz) * (bandwidth_hz / from_hz)
        crossings = crossings.clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
        window = torch.cos(crossings * (torch.pi / 2 / _ZERO_CROSSINGS)).square()
        taps = (torch.sinc(crossings) * window * (bandwidth_hz / from_hz)).to(wav.dtype)
        pieces.append((padded[..., places + reach] * taps).sum(-1))
    return torch.cat(pieces, dim=-1)


def resampling_reach(from_hz: int, to_hz: int) -> int:
    """How many samples before and after its own place, at `from_hz`, an output of `resample` hears at most."""
    return 0 if from_hz == to_hz else math.ceil(_ZERO_CROSSINGS * from_hz / (min(from_hz, to_hz) * _ROLLOFF))


def mel_filterbank(
    num_fft_bins: int,
    num_mels: int,
    sample_rate_hz: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    norm: Literal["slaney"] | None = None,
    mel_scale: Literal["htk", "slaney"] = "htk",
) -> Tensor:
    """Triangular mel filters [num_fft_bins, num_mels] from `low_hz` to `high_hz` (default: Nyquist).

    `num_fft_bins` counts the bins of a one-sided spectrum: window_length // 2 + 1.
    """
    filters: Tensor = torchaudio.functional.melscale_fbanks(
        num_fft_bins,
        low_hz,
        high_hz or sample_rate_hz / 2,
        num_mels,
        sample_rate_hz,
        norm=norm,
        mel_scale=mel_scale,
    )
    return filters
