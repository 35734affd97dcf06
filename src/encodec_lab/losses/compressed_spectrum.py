"""Reconstruction loss on spectra whose magnitudes are compressed, as in speech enhancement (Braun and Tashev 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encodec_lab.losses.waveform_pair import check_pair, float_rows


class CompressedSpectrumLoss(nn.Module):
    """`sum_n (1 - w) mean(|A^c - B^c|^2) + w mean(|A^c e^(ia) - B^c e^(ib)|^2)` over STFTs of windows n.

    A and B are the magnitudes of the two spectra and a and b their phases [Braun and Tashev 2020, arXiv 2009.12286,
    eq. 3 and 4; the exponent after Ephrat et al. 2018, arXiv 1804.03619]. Compression lets the weak upper bands count
    beside the strong lower ones, which the L1 of samples leaves out for long; the second term keeps the phase.
    Periodic Hann windows of norm one, hops of a quarter window.

    Windows are made once, follow the module to its device, and are not part of its state.

    Args:
        window_lengths: of each scale, in samples, positive multiples of 4.
        exponent: c, in (0, 1]; 0.3 is usual.
        phase_weight: w, in [0, 1]. The phase term alone would have what cannot be foretold silent.
        power_floor: added to powers, above 0: the root that compresses has an infinite slope at zero, and the gradient
            of what nobody hears would drown the others'.

    Raises:
        ValueError: for a value out of range.
    """

    def __init__(
        self,
        window_lengths: Sequence[int],
        exponent: float = 0.3,
        phase_weight: float = 0.5,
        power_floor: float = 1e-5,
    ) -> None:
        super().__init__()
        if not window_lengths or any(length < 4 or length % 4 for length in window_lengths):
            raise ValueError(f"window_lengths {list(window_lengths)}: use positive multiples of 4")
        if not 0 < exponent <= 1:
            raise ValueError(f"exponent must be above 0 and at most 1, got {exponent}")
        if not 0 <= phase_weight <= 1:
            raise ValueError(f"phase_weight must be in [0, 1], got {phase_weight}")
        if power_floor <= 0:
            raise ValueError(f"power_floor must be above 0, got {power_floor}")
        self.exponent = exponent
        self.phase_weight = phase_weight
        self.power_floor = power_floor
        self.min_length_samples = max(window_lengths) // 2 + 1
        self.windows = nn.ModuleList(_Window(length) for length in window_lengths)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the scalar loss of two waveforms [B, C, T]; `real` is a constant here.

        Computed in single precision, under autocast too.

        Raises:
            ValueError: for two shapes, or audio no longer than half of the longest window.
        """
        check_pair(real, fake, self.min_length_samples)
        with torch.autocast(fake.device.type, enabled=False):
            real_rows, fake_rows = float_rows(real, fake)
            return torch.stack(
                [self._distance(window(real_rows), window(fake_rows)) for window in self.windows]
            ).sum()

    def _distance(self, real: Tensor, fake: Tensor) -> Tensor:
        """The distance of two spectra [N, F, S, 2], real and imaginary parts last."""
        real_power, fake_power = (
            spectrum.square().sum(-1, keepdim=True) + self.power_floor for spectrum in (real, fake)
        )
        magnitude = (real_power ** (self.exponent / 2) - fake_power ** (self.exponent / 2)).square()
        shrinking = (self.exponent - 1) / 2
        phase = (real * real_power**shrinking - fake * fake_power**shrinking).square().sum(-1)
        return (1 - self.phase_weight) * magnitude.mean() + self.phase_weight * phase.mean()


class _Window(nn.Module):
    """The STFT of one window: [N, T] -> [N, F, S, 2]."""

    window: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        window = torch.hann_window(length)
        self.register_buffer("window", window / window.norm(), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        length = self.window.shape[0]
        spectrum = torch.stft(rows, length, hop_length=length // 4, window=self.window, return_complex=True)
        return torch.view_as_real(spectrum)
