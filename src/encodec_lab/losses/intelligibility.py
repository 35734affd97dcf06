"""Loss of intelligibility: one minus the short-time objective intelligibility (STOI) of a crop."""

import torch
from torch import Tensor, nn

from encodec_lab.losses.waveform_pair import check_pair, float_rows

_FRAME_S = 0.0256
_NUM_BANDS = 15
_LOWEST_BAND_HZ = 150.0  # the centre of the first third of an octave
_SEGMENT_FRAMES = 30
_LARGEST_EXCESS = 1 + 10 ** (
    15 / 20
)  # a degraded envelope is clipped at a signal-to-distortion ratio of -15 dB


class IntelligibilityLoss(nn.Module):
    """One minus the mean correlation of short-time band envelopes [Taal et al. 2011, eq. 1 to 6, its STOI].

    Envelopes in 15 thirds of an octave from 150 Hz to 4.3 kHz, in frames of 25.6 ms, are compared over all segments of
    384 ms: every band and every segment counts alike, however weak, which spectral distances let slip. Beside those
    only: what lies above 4.3 kHz, levels and phases are nothing to it. Unlike the metric it leaves no silent frames
    out; instead, `level_floor` lets what is all but silent count little.

    Windows and bands are made once, follow the module to its device, and are not part of its state.

    Args:
        sample_rate_hz: of the waveforms, at least 8,600 (the highest band's upper edge is at 4.3 kHz).
        level_floor: of the envelopes, as amplitude, above 0.

    Raises:
        ValueError: for a value out of range.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, sample_rate_hz: int, level_floor: float = 1e-4) -> None:
        super().__init__()
        edges_hz = _LOWEST_BAND_HZ * 2 ** ((torch.arange(_NUM_BANDS + 1, dtype=torch.float64) - 0.5) / 3)
        if sample_rate_hz < 2 * edges_hz[-1]:
            raise ValueError(f"sample_rate_hz {sample_rate_hz}: use at least {int(2 * edges_hz[-1]) + 1}")
        if level_floor <= 0:
            raise ValueError(f"level_floor must be above 0, got {level_floor}")
        self.level_floor = level_floor
        self.hop_length = round(_FRAME_S * sample_rate_hz / 2)
        frame_length = 2 * self.hop_length
        self.fft_length = 2 * frame_length
        self.min_length_samples = frame_length + (_SEGMENT_FRAMES - 1) * self.hop_length
        window = torch.hann_window(frame_length)
        self.register_buffer("window", window / window.norm(), persistent=False)
        bins_hz = (
            torch.arange(self.fft_length // 2 + 1, dtype=torch.float64) * sample_rate_hz / self.fft_length
        )
        nearest = (bins_hz[:, None] - edges_hz).abs().argmin(0)  # each edge at the bin that is nearest
        bins = torch.arange(len(bins_hz))
        bands = (bins >= nearest[:-1, None]) & (bins < nearest[1:, None])
        self.register_buffer("bands", bands.float(), persistent=False)

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the scalar loss of two waveforms [B, C, T], 0 to 2; `real` is a constant here.

        Computed in single precision, under autocast too.

        Raises:
            ValueError: for two shapes, or audio shorter than a segment.
        """
        check_pair(real, fake)
        if real.shape[-1] < self.min_length_samples:
            raise ValueError(
                f"audio of {real.shape[-1]} samples is shorter than a segment: "
                f"give at least {self.min_length_samples}"
            )
        with torch.autocast(fake.device.type, enabled=False):
            clean, degraded = (self._segments(rows) for rows in float_rows(real, fake))
            floor = self.level_floor * _SEGMENT_FRAMES**0.5
            gain = clean.norm(dim=-1, keepdim=True) / (degraded.norm(dim=-1, keepdim=True) + floor)
            degraded = torch.minimum(gain * degraded, _LARGEST_EXCESS * clean)
            clean, degraded = (one - one.mean(-1, keepdim=True) for one in (clean, degraded))
            scale = (clean.norm(dim=-1) + floor) * (degraded.square().sum(-1) + floor**2).sqrt()
            correlation: Tensor = ((clean * degraded).sum(-1) / scale).mean()
            return 1 - correlation

    def _segments(self, rows: Tensor) -> Tensor:
        """Envelopes of all segments [N, bands, segments, frames] of [N, T]."""
        frames = rows.unfold(-1, 2 * self.hop_length, self.hop_length) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(frames, n=self.fft_length))
        power = spectrum.square().sum(-1) @ self.bands.T  # [N, S, bands]
        # Under the root, so that silence has a slope.
        envelopes: Tensor = (power / self.fft_length + self.level_floor**2).sqrt() - self.level_floor
        return envelopes.transpose(1, 2).unfold(-1, _SEGMENT_FRAMES, 1)
