"""Examples to listen to and look at: an original and what each system makes of it, as parts of a page."""

import base64
import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import soundfile
from torch import Tensor
from torch.nn import functional

from encodec_lab.evaluation.spectrogram_image import mel_position, mel_spectrogram_db, spectrogram_png
from encodec_lab.evaluation.transmission import Transmitted
from encodec_lab.metrics import NotScored, si_snr

LONGEST_S = 8.0
_MOST_ROUNDING_SAMPLES = 16
_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class ListeningExample:
    """One recording in all its versions.

    Attributes:
        name: the file's name.
        domain: see `domain_of`.
        sample_rate_hz: of all versions.
        original: [C, T].
        decoded: by system and ascending in bandwidth, in time with the original, and as long but for what rounding
            adds or takes when a sample rate is converted.
        notes: what is said of each version, the original's first; None for rates and SI-SNR.
    """

    name: str
    domain: str
    sample_rate_hz: int
    original: Tensor
    decoded: Sequence[Transmitted]
    notes: Sequence[str] | None = None


def version_name(version: Transmitted) -> str:
    """Such as "opus 12 kbps", or the system alone for an anchor."""
    kbps = "" if version.bandwidth_kbps is None else f" {version.bandwidth_kbps:g} kbps"
    return version.system + kbps


def example_html(example: ListeningExample) -> str:
    """An `<article>` with a button and a spectrogram for each version; the sound is in `listening_payload`."""
    top_db = float(mel_spectrogram_db(example.original, example.sample_rate_hz).max())
    figures = [
        _version_html(example, index, version, top_db) for index, version in enumerate(_versions(example))
    ]
    title = f"{escape(example.name)} <span>{escape(example.domain)}</span>"
    return (
        f'<article class="example"><h3>{title}</h3><div class="versions">{"".join(figures)}</div></article>'
    )


def listening_payload(examples: Sequence[ListeningExample]) -> str:
    """A `<script>` of JSON with the sound of all versions, the original first, for the page's own scripts to read.

    Its `id` tells this page's kept ratings from another's.
    """
    if not examples:
        return ""
    described = [
        {
            "name": example.name,
            "domain": example.domain,
            "sample_rate_hz": example.sample_rate_hz,
            "duration_s": example.original.shape[-1] / example.sample_rate_hz,
            "versions": [
                {
                    "name": version_name(version),
                    "system": version.system,
                    "bandwidth_kbps": version.bandwidth_kbps,
                    "true_kbps": version.true_kbps,
                    "flac": flac_base64(version.wav, example.sample_rate_hz),
                }
                for version in _versions(example)
            ],
        }
        for example in examples
    ]
    identity = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]
    text = json.dumps({"id": identity, "examples": described}).replace("<", "\\u003c")
    return f'<script type="application/json" id="listening">{text}</script>'


def flac_base64(wav: Tensor, sample_rate_hz: int) -> str:
    """[C, T] as a 16-bit FLAC file in base64; samples beyond full scale are clipped."""
    buffer = io.BytesIO()
    samples = wav.detach().cpu().clamp(-1, 1).T.numpy()
    soundfile.write(buffer, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _versions(example: ListeningExample) -> list[Transmitted]:
    """The original first, and all as long as that."""
    length = example.original.shape[-1]
    versions = [Transmitted("original", None, None, example.original)]
    for version in example.decoded:
        missing = length - version.wav.shape[-1]
        assert abs(missing) <= _MOST_ROUNDING_SAMPLES, f"{version_name(version)} is {missing} samples short"
        versions.append(dataclasses.replace(version, wav=functional.pad(version.wav, (0, missing))))
    return versions


def _version_html(example: ListeningExample, index: int, version: Transmitted, top_db: float) -> str:
    name = version_name(version)
    png = spectrogram_png(mel_spectrogram_db(version.wav, example.sample_rate_hz), top_db)
    key = f"<kbd>{index}</kbd> " if index < 10 else ""
    detail = _detail(example, index, version)
    return (
        f'<figure><figcaption><button type="button" class="version">{key}{escape(name)}</button> '
        f"<span>{escape(detail)}</span></figcaption>"
        f'<div class="spectrogram"><img alt="Mel spectrogram of {escape(f"{example.name}, {name}")}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
        f"{_frequency_ticks(example.sample_rate_hz)}</div></figure>"
    )


def _detail(example: ListeningExample, index: int, version: Transmitted) -> str:
    """The rate, if it has one, and the quality, if it can be scored; or the example's own words."""
    if example.notes is not None:
        return example.notes[index]
    if index == 0:
        return ""
    parts = [] if version.true_kbps is None else [f"{version.true_kbps:.2f} kbps in the file"]
    with contextlib.suppress(NotScored):
        level_db = si_snr(example.original, version.wav, example.sample_rate_hz)
        parts.append("SI-SNR " + f"{level_db:.1f} dB".replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)


def _frequency_ticks(sample_rate_hz: int) -> str:
    marks = []
    for frequency_hz in _TICKS_HZ:
        if frequency_hz < 0.9 * sample_rate_hz / 2:
            bottom = 100 * mel_position(frequency_hz, sample_rate_hz)
            label = f"{frequency_hz / 1000:g}k" if frequency_hz >= 1000 else str(frequency_hz)
            marks.append(f'<i style="bottom:{bottom:.1f}%">{label}</i>')
    return "".join(marks)
