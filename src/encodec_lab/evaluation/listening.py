"""Examples to listen to and look at: an original and what each bandwidth makes of it, as parts of a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import soundfile
from torch import Tensor

from encodec_lab.data.converted_audio import read_converted
from encodec_lab.evaluation.domain import domain_of
from encodec_lab.evaluation.spectrogram_image import Levels, mel_position, mel_spectrogram_db, spectrogram_png
from encodec_lab.evaluation.transmission import Transmitted, transmit
from encodec_lab.metrics import NotScored, si_snr
from encodec_lab.models.encodec import EncodecModel

LONGEST_S = 8.0
_TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)


@dataclass(frozen=True)
class ListeningExample:
    """One recording in all its versions.

    Attributes:
        name: the file's name.
        domain: see `domain_of`.
        sample_rate_hz: of all versions.
        original: [C, T].
        decoded: ascending in bandwidth.
    """

    name: str
    domain: str
    sample_rate_hz: int
    original: Tensor
    decoded: Sequence[Transmitted]


def make_listening_examples(model: EncodecModel, paths: Sequence[str | Path]) -> list[ListeningExample]:
    """Send the first 8 s of each file through the bitstream at every bandwidth of the model."""
    examples = []
    for path in paths:
        wav = read_converted(path, model.sample_rate, model.channels)
        original = wav[:, : int(LONGEST_S * model.sample_rate)]
        decoded = [transmit(model, original, kbps) for kbps in model.target_bandwidths]
        examples.append(
            ListeningExample(Path(path).name, domain_of(path), model.sample_rate, original, decoded)
        )
    return examples


def example_html(example: ListeningExample) -> str:
    """An `<article>` with a spectrogram and a player for each version; sound and images are in the text itself."""
    top_db = float(_levels(example, example.original).max())
    figures = [_version_html(example, "Original", "", example.original, top_db)]
    for version in example.decoded:
        try:
            quality = f", SI-SNR {si_snr(example.original, version.wav, example.sample_rate_hz):.1f} dB"
        except NotScored:
            quality = ""
        detail = f"{version.true_kbps:.2f} kbps in the file{quality}".replace("-", "\N{MINUS SIGN}").replace(
            "SI\N{MINUS SIGN}SNR", "SI-SNR"
        )
        figures.append(
            _version_html(example, f"{version.bandwidth_kbps:g} kbps", detail, version.wav, top_db)
        )
    title = f"{escape(example.name)} <span>{escape(example.domain)}</span>"
    return (
        f'<article class="example"><h3>{title}</h3><div class="versions">{"".join(figures)}</div></article>'
    )


def flac_data_uri(wav: Tensor, sample_rate_hz: int) -> str:
    """[C, T] as a 16-bit FLAC file in a data URI; samples beyond full scale are clipped."""
    buffer = io.BytesIO()
    samples = wav.detach().cpu().clamp(-1, 1).T.numpy()
    soundfile.write(buffer, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _version_html(example: ListeningExample, title: str, detail: str, wav: Tensor, top_db: float) -> str:
    png = spectrogram_png(_levels(example, wav), top_db)
    name = f"{example.name}, {title}"
    return (
        f"<figure><figcaption><b>{escape(title)}</b> <span>{escape(detail)}</span></figcaption>"
        f'<div class="spectrogram"><img alt="Mel spectrogram of {escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">{_frequency_ticks(example.sample_rate_hz)}</div>'
        f'<audio controls preload="metadata" aria-label="{escape(name)}" '
        f'src="{flac_data_uri(wav, example.sample_rate_hz)}"></audio></figure>'
    )


def _levels(example: ListeningExample, wav: Tensor) -> Levels:
    return mel_spectrogram_db(wav, example.sample_rate_hz)


def _frequency_ticks(sample_rate_hz: int) -> str:
    marks = []
    for frequency_hz in _TICKS_HZ:
        if frequency_hz < 0.9 * sample_rate_hz / 2:
            bottom = 100 * mel_position(frequency_hz, sample_rate_hz)
            label = f"{frequency_hz / 1000:g}k" if frequency_hz >= 1000 else str(frequency_hz)
            marks.append(f'<i style="bottom:{bottom:.1f}%">{label}</i>')
    return "".join(marks)
