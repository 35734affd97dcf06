"""The peak of whole files, to which a recording is normalised before it is mixed with others."""

from pathlib import Path

from encodec_lab.data.audio_file import AudioInfo, read_in_order

_BLOCK_SAMPLES = 1 << 18
# Below this a file is silent; nothing would be normalised but rounding noise.
_SILENT_PEAK = 1e-4


class FilePeaks:
    """The scale 1 / peak of each file: as its manifest says, else from the whole file, which is read once.

    What was read is remembered for as long as this object lives, a few bytes a file.
    """

    def __init__(self) -> None:
        self._peaks: dict[Path, float] = {}

    def scale(self, info: AudioInfo) -> float:
        """What the file's samples are to be multiplied by; 1 for a silent one. Raises AudioFileError as `read_crop`."""
        peak = info.peak
        if peak is None:
            peak = self._peaks.get(info.path)
        if peak is None:
            peak = self._peaks[info.path] = measure_peak(info)
        return 1 / peak if peak > _SILENT_PEAK else 1.0


def measure_peak(info: AudioInfo) -> float:
    """The largest magnitude of the file's samples, over all channels."""
    return max(float(block.abs().max()) for block in read_in_order(info.source, _BLOCK_SAMPLES))
