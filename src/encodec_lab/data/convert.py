"""Change of sample rate and of the number of channels."""

import math

from torch import Tensor

from encodec_lab.modules.signal import resample

# The polyphase kernel of the resampler has (from_hz / gcd) * (to_hz / gcd) taps, so rates without a common divisor
# (44,101 to 24,000 Hz: 8 GB) exhaust the memory. The limit is passed by no pair of rates in common use.
_MAX_KERNEL_TAPS = 1 << 26


def convert_audio(wav: Tensor, sr: int, target_sr: int, target_channels: int) -> Tensor:
    """Resample and mix: [..., C, T] at `sr` Hz to [..., target_channels, ceil(T * target_sr / sr)] at `target_sr` Hz.

    Stereo to mono is the mean of the channels, mono to stereo a copy. The arguments are named as in the reference
    implementation (facebookresearch/encodec, utils.py).

    Raises:
        ValueError: channel counts other than 1 and 2, on either side; rates that cannot be resampled.
    """
    if wav.dim() < 2 or not wav.is_floating_point():
        raise ValueError(
            f"expected floating-point audio [..., C, T], got {wav.dtype} of shape {list(wav.shape)}"
        )
    channels = wav.shape[-2]
    if channels not in (1, 2) or target_channels not in (1, 2):
        raise ValueError(
            f"cannot convert {channels} channels to {target_channels}: both must be 1 (mono) or 2 (stereo)"
        )
    check_resamplable(sr, target_sr)
    # Mixing down before and copying after resampling: linear, so the same result for less work.
    if channels > target_channels:
        wav = wav.mean(dim=-2, keepdim=True)
    if sr != target_sr:
        wav = resample(wav, sr, target_sr)
    if channels < target_channels:
        wav = wav.repeat_interleave(target_channels, dim=-2)
    return wav


def check_resamplable(from_hz: int, to_hz: int) -> None:
    """Raise ValueError for rates that are not positive, or whose resampling kernel would exhaust the memory."""
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"sample rates must be positive, got {from_hz} Hz and {to_hz} Hz")
    divisor = math.gcd(from_hz, to_hz)
    if from_hz != to_hz and (from_hz // divisor) * (to_hz // divisor) > _MAX_KERNEL_TAPS:
        raise ValueError(
            f"cannot resample {from_hz} Hz to {to_hz} Hz: their greatest common divisor, {divisor} Hz, is too small; "
            f"bring the audio to a common rate such as 44100 or 48000 Hz first"
        )
