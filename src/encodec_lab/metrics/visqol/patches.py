"""Which patches of the reference are compared."""

import numpy as np
from numpy.typing import NDArray

from encodec_lab.metrics.visqol.signal import Signal

# Of samples of 16 bits, once the largest is at full scale.
_VOICE_RMS = 5000.0
_FULL_SCALE = 1 << 15
# A frame is silent once it and the frames before it, this many in all, are.
_SILENT_FRAMES = 3


def even_patch_starts(num_frames: int, patch_frames: int) -> list[int]:
    """First frames of patches one after the other, from half a patch on; at least one (`num_frames` permitting)."""
    first = patch_frames // 2
    end = max(num_frames - patch_frames, first + 1)
    return [start - 1 for start in range(first, end, patch_frames)]


def voiced_patch_starts(wav: Signal, num_frames: int, patch_frames: int, hop_samples: int) -> list[int]:
    """First frames of the patches in which the reference `wav` [T] has voice, by its level alone."""
    first = patch_frames // 2 - 1
    num_patches = (num_frames - first) // patch_frames
    # From sample `first`, not frame `first`: so google/visqol has it.
    samples = wav[first : first + num_patches * patch_frames * hop_samples]
    voiced = _voice_activity(samples, float(wav.max()), hop_samples).reshape(num_patches, patch_frames)
    return [first + patch_frames * int(index) for index in np.flatnonzero(voiced.any(axis=1))]


def _voice_activity(wav: Signal, peak: float, hop_samples: int) -> NDArray[np.bool_]:
    """Whether each frame of `hop_samples` has voice; the first two always do."""
    scaled = wav / peak * _FULL_SCALE if peak else np.zeros_like(wav)
    integers = np.trunc(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1)).reshape(-1, hop_samples)
    loud: NDArray[np.bool_] = np.sqrt(np.square(integers).mean(axis=1)) >= _VOICE_RMS
    active = loud.copy()
    for num_back in range(1, _SILENT_FRAMES):
        active[num_back:] |= loud[:-num_back]
    active[: _SILENT_FRAMES - 1] = True
    return active
