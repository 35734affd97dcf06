"""Examples for the page: what is heard is what the systems gave."""

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
import soundfile
import torch
from listening_page import NAMES, SAMPLE_RATE_HZ, listening_example
from torch.nn import functional

from encodec_lab.evaluation.listening import (
    ListeningExample,
    example_html,
    flac_base64,
    listening_payload,
    version_name,
)
from encodec_lab.evaluation.transmission import Transmitted


def _payload(example: ListeningExample) -> dict[str, object]:
    text = re.fullmatch(
        r'<script type="application/json" id="listening">(.*)</script>', listening_payload([example])
    )
    assert text
    payload: dict[str, object] = json.loads(text[1])
    return payload


def _decode(flac: str) -> tuple[np.ndarray, int]:
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(flac)), always_2d=True)
    return samples.T, rate_hz


def test_flac_holds_the_samples() -> None:
    wav = torch.rand(2, 1000) * 2.2 - 1.1
    samples, rate_hz = _decode(flac_base64(wav, 48_000))
    assert rate_hz == 48_000
    assert np.abs(samples - wav.clamp(-1, 1).numpy()).max() < 1e-4


def test_names_of_versions() -> None:
    assert version_name(Transmitted("opus", 12.0, 13.1, torch.zeros(1, 1))) == "opus 12 kbps"
    assert version_name(Transmitted("low-pass 7 kHz", None, None, torch.zeros(1, 1))) == "low-pass 7 kHz"


def test_payload_has_the_sound_of_every_version_in_the_order_of_the_buttons() -> None:
    example = listening_example("<b>.wav")
    (told,) = _payload(example)["examples"]
    assert (told["name"], told["domain"], told["duration_s"]) == ("<b>.wav", "speech", 2.0)
    assert [version["name"] for version in told["versions"]] == NAMES
    assert [version["true_kbps"] for version in told["versions"]] == [None, 1.61, 6.2, 7.3, None]
    wanted = [example.original, *(version.wav for version in example.decoded)]
    for version, wav in zip(told["versions"], wanted, strict=True):
        samples, rate_hz = _decode(version["flac"])
        assert rate_hz == SAMPLE_RATE_HZ
        assert np.abs(samples - wav.clamp(-1, 1).numpy()).max() < 1e-4
    html = example_html(example)
    assert re.findall(r'class="version"><kbd>\d</kbd> (.*?)<', html) == NAMES
    assert html.count("data:image/png;base64,") == len(NAMES)
    assert "<b>.wav" not in html
    assert "6.20 kbps in the file, SI-SNR" in html


def test_pages_with_other_sound_keep_their_ratings_apart() -> None:
    identities = [_payload(listening_example(name))["id"] for name in ("a", "a", "other")]
    assert identities[0] == identities[1] != identities[2]


def test_versions_are_made_as_long_as_the_original_and_no_longer_ones_are_taken() -> None:
    example = listening_example("a")
    first, *others = example.decoded

    def stretched(num_samples: int) -> ListeningExample:
        longer = dataclasses.replace(first, wav=functional.pad(first.wav, (0, num_samples)))
        return dataclasses.replace(example, decoded=[longer, *others])

    for num_samples in (-1, 1):
        (told,) = _payload(stretched(num_samples))["examples"]
        assert {_decode(version["flac"])[0].shape for version in told["versions"]} == {example.original.shape}
    with pytest.raises(AssertionError, match=r"lab 1\.5 kbps is 500 samples short"):
        listening_payload([stretched(-500)])


def test_no_examples_no_payload() -> None:
    assert listening_payload([]) == ""
