"""Change of sample rate and of the number of channels."""

from torch import Tensor

from encodec_lab.modules.signal import resample


def convert_audio(wav: Tensor, sr: int, target_sr: int, target_channels: int) -> Tensor:
    """Resample and mix: [..., C, T] at `sr` Hz to [..., target_channels, ceil(T * target_sr / sr)] at `target_sr` Hz.

    Stereo to mono is the mean of the channels, mono to stereo a copy. The arguments are named as in the reference
    implementation (facebookresearch/encodec, utils.py).

    Raises:
        ValueError: channel counts other than 1 and 2, on either side; rates that are not positive.
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
    # Mixing down before and copying after resampling: linear, so the same result for less work.
    if channels > target_channels:
        wav = wav.mean(dim=-2, keepdim=True)
    wav = resample(wav, sr, target_sr)
    if channels < target_channels:
        wav = wav.repeat_interleave(target_channels, dim=-2)
    return wav
