"""Exported small codecs and audio files for the command's tests."""

from pathlib import Path

import pytest

from encodec_lab.data.audio_file import write_wav
from encodec_lab.models.export_folder import write_export


@pytest.fixture(scope="session")
def mono_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 24 kHz mono codec that offers 0.9, 1.8 and 6 kbps."""
    import small_codec

    folder = tmp_path_factory.mktemp("exports") / "mono"
    write_export(folder, small_codec.random_codec(small_codec.SMALL_24KHZ), {}, "")
    return folder


@pytest.fixture(scope="session")
def stereo_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 48 kHz stereo codec that offers 1.8 and 3.6 kbps."""
    import small_codec

    folder = tmp_path_factory.mktemp("exports") / "stereo"
    write_export(folder, small_codec.random_codec(small_codec.SMALL_48KHZ), {}, "")
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A quarter of a second of 24 kHz mono audio, alone in its folder."""
    import small_codec

    path = tmp_path / "audio" / "take.one.wav"
    path.parent.mkdir()
    write_wav(path, small_codec.random_wav(1, 6_000), 24_000)
    return path
