"""Multi-scale mel spectrogram loss [EnCodec eq. 1], in the form of the authors' later training code (audiocraft)."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from encodec_lab.losses.waveform_pair import check_pair, float_rows
from encodec_lab.modules.signal import mel_filterbank

_LOG_FLOOR = 1e-5


class MultiScaleMelLoss(nn.Module):
    """`1/|scales| sum_i mean|S_i(x) - S_i(y)| + mean((log10(1e-5 + S_i(x)) - log10(1e-5 + S_i(y)))^2)`.

    S_i is the mel spectrogram of power of window i: periodic Hann window, hop of a quarter window, STFT divided by
    the window's norm, HTK mel scale, triangles of height one from `low_hz` to the Nyquist frequency. Audio is
    reflected at both ends so that T samples give ceil(T / hop) frames. [EnCodec eq. 1] fixes windows and bins;
    linear or log, power and padding are audiocraft's (`MultiScaleMelSpectrogramLoss`, which divides by two times the
    number of scales).

    Windows and filterbanks are made once, follow the module to its device, and are not part of its state.

    Args:
        sample_rate_hz: of the audio.
        window_lengths: of each scale, in samples, positive multiples of 8. The paper: 2^5 ... 2^11.
        num_mels: bins of every scale (the paper: 64, of which many are empty at the short windows and add nothing but
            weight to the mean's denominator) or of each scale, as from `non_empty_mel_counts`.
        low_hz: lowest frequency of the filters. audiocraft: 64.

    Raises:
        ValueError: for a value out of range.
    """

    def __init__(
        self, sample_rate_hz: int, window_lengths: Sequence[int], num_mels: int | Sequence[int], low_hz: float
    ) -> None:
        super().__init__()
        counts = [num_mels] * len(window_lengths) if isinstance(num_mels, int) else list(num_mels)
        if not window_lengths or len(counts) != len(window_lengths):
            raise ValueError(
                f"num_mels {counts} for window_lengths {list(window_lengths)}: give one for each window"
            )
        self.min_length_samples = max(window_lengths) * 3 // 8 + 1
        self.scales = nn.ModuleList(
            _MelSpectrogram(sample_rate_hz, window_length, count, low_hz)
            for window_length, count in zip(window_lengths, counts, strict=True)
        )

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the scalar loss of two waveforms [B, C, T]; `real` is a constant here.

        Computed in single precision, under autocast too.

        Raises:
            ValueError: for two shapes, or audio shorter than 3/8 of the longest window.
        """
        check_pair(real, fake, self.min_length_samples)
        with torch.autocast(fake.device.type, enabled=False):
            real_rows, fake_rows = float_rows(real, fake)
            return torch.stack(
                [_distance(scale(real_rows), scale(fake_rows)) for scale in self.scales]
            ).mean()


class _MelSpectrogram(nn.Module):
    """Mel spectrogram of power: [N, T] -> [N, num_mels, ceil(T / hop)]."""

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate_hz: int, window_length: int, num_mels: int, low_hz: float) -> None:
        super().__init__()
        if num_mels < 1:
            raise ValueError(f"num_mels {num_mels}: use at least 1")
        self.window_length = window_length
        filters = _quiet_filterbank(window_length, num_mels, sample_rate_hz, low_hz)
        window = torch.hann_window(window_length)
        self.register_buffer("window", window / window.norm(), persistent=False)
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)  # [num_mels, F]

    def forward(self, rows: Tensor) -> Tensor:
        hop = self.window_length // 4
        reflected = (self.window_length - hop) // 2
        padded = functional.pad(rows, (reflected, reflected), mode="reflect")
        padded = functional.pad(padded, (0, -rows.shape[-1] % hop))  # the last frame is a full one
        spectrum = torch.stft(
            padded, self.window_length, hop_length=hop, window=self.window, center=False, return_complex=True
        )
        return self.filters @ torch.view_as_real(spectrum).square().sum(-1)  # [M, F] @ [N, F, S]


def non_empty_mel_counts(
    window_lengths: Sequence[int], sample_rate_hz: int, low_hz: float, max_mels: int
) -> list[int]:
    """For each window length, the largest number of mels up to `max_mels` with no empty filter.

    A mel filter narrower than the spacing of the FFT bins may fall between two of them and be zero everywhere.

    Args:
        window_lengths: in samples, positive multiples of 8.
        sample_rate_hz: of the audio.
        low_hz: lowest frequency of the filters.
        max_mels: the most to return.

    Raises:
        ValueError: for a value out of range, or a window too short for even one filter.
    """
    return [_non_empty_mel_count(window, sample_rate_hz, low_hz, max_mels) for window in window_lengths]


def _non_empty_mel_count(window_length: int, sample_rate_hz: int, low_hz: float, max_mels: int) -> int:
    for count in range(max_mels, 0, -1):
        filters = _quiet_filterbank(window_length, count, sample_rate_hz, low_hz)
        if bool((filters.amax(0) > 0).all()):
            return count
    raise ValueError(
        f"window of {window_length} samples with max_mels {max_mels}: every number of mels leaves a filter empty"
    )


def _quiet_filterbank(window_length: int, num_mels: int, sample_rate_hz: int, low_hz: float) -> Tensor:
    """Filters [F, num_mels], without torchaudio's warning of empty ones: the paper's own setting has them."""
    if window_length < 8 or window_length % 8:
        raise ValueError(f"window length {window_length}: use a positive multiple of 8")
    if not 0 <= low_hz < sample_rate_hz / 2:
        raise ValueError(
            f"low_hz {low_hz} at {sample_rate_hz} Hz: use a frequency from 0 to below half the rate"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        return mel_filterbank(window_length // 2 + 1, num_mels, sample_rate_hz, low_hz)


def _distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean absolute difference, plus mean squared difference of the logarithms."""
    logs = torch.log10(_LOG_FLOOR + real) - torch.log10(_LOG_FLOOR + fake)
    return (real - fake).abs().mean() + logs.square().mean()
