"""A small codec and two short recordings to evaluate."""

from pathlib import Path

import pytest
import soundfile
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.models.encodec import EncodecModel


@pytest.fixture(scope="session")
def codec() -> EncodecModel:
    """Random weights, 24 kHz mono."""
    return random_codec(SMALL_24KHZ)


@pytest.fixture(scope="session")
def clips(carried_audio: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A second of speech (mono, 24 kHz) and half a second of music (stereo, 48 kHz), in `DOMAIN/test/`."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for domain, name, length_s in (
        ("speech", "en_ljspeech_f_02.flac", 1.0),
        ("music", "sonicpi_loopcompus_00.flac", 0.5),
    ):
        wav, rate_hz = soundfile.read(carried_audio / "test" / domain / name)
        paths.append(folder / domain / "test" / name)
        paths[-1].parent.mkdir(parents=True)
        soundfile.write(paths[-1], wav[: int(length_s * rate_hz)], rate_hz)
    return paths
