import dataclasses

import numpy as np
import pytest
import soundfile

from encodec_lab.data.audio_file import probe
from encodec_lab.data.file_peak import FilePeaks, measure_peak


def write(path, samples):
    soundfile.write(path, samples, 24_000, subtype="FLOAT")
    return path


def test_the_peak_is_that_of_the_whole_file_and_all_channels(tmp_path):
    samples = np.zeros((700_000, 2))
    samples[650_000, 1] = -0.5
    info = probe(write(tmp_path / "a.wav", samples))
    assert measure_peak(info) == 0.5
    assert FilePeaks().scale(info) == 2


def test_a_file_is_read_once_and_one_with_a_known_peak_never(tmp_path):
    path = write(tmp_path / "a.wav", np.full(100, 0.25))
    info, peaks = probe(path), FilePeaks()
    assert peaks.scale(info) == 4
    path.unlink()
    assert peaks.scale(info) == 4
    assert FilePeaks().scale(dataclasses.replace(info, peak=0.125)) == 8
    with pytest.raises(ValueError, match="no such file"):
        FilePeaks().scale(info)


def test_silence_is_not_scaled_up(tmp_path):
    assert FilePeaks().scale(probe(write(tmp_path / "a.wav", np.full(100, 1e-6)))) == 1
