"""Examples for the page: what is heard is what the codec gave."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.listening import LONGEST_S, example_html, flac_data_uri, make_listening_examples
from encodec_lab.evaluation.transmission import transmit
from encodec_lab.models.encodec import EncodecModel


def _decode(uri: str) -> tuple[np.ndarray, int]:
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])), always_2d=True)
    return samples.T, rate_hz


def test_data_uri_is_a_flac_file_with_the_samples() -> None:
    wav = torch.rand(2, 1000) * 2.2 - 1.1
    uri = flac_data_uri(wav, 48_000)
    assert uri.startswith("data:audio/flac;base64,")
    samples, rate_hz = _decode(uri)
    assert rate_hz == 48_000
    assert np.abs(samples - wav.clamp(-1, 1).numpy()).max() < 1e-4


def test_page_part_has_every_version(codec: EncodecModel, clips: list[Path]) -> None:
    (example,) = make_listening_examples(codec, clips[:1])
    html = example_html(example)
    uris = re.findall(r'<audio [^>]*src="([^"]+)"', html)
    assert len(uris) == html.count("data:image/png;base64,") == 4
    original = read_converted(clips[0], 24_000, 1)
    wanted = [original] + [transmit(codec, original, kbps).wav for kbps in (0.9, 1.8, 6.0)]
    for uri, wav in zip(uris, wanted, strict=True):
        assert np.abs(_decode(uri)[0] - wav.clamp(-1, 1).numpy()).max() < 1e-4


def test_long_recordings_are_cut(codec: EncodecModel, carried_audio: Path) -> None:
    (example,) = make_listening_examples(codec, [carried_audio / "test/speech/en_vctkp254_m_00.flac"])
    assert example.original.shape == (1, int(LONGEST_S * 24_000))
    assert example.decoded[0].true_kbps == pytest.approx(0.9, rel=0.1)
