"""What training hears: crops before and after augmentation, to look at, to listen to, and with what was drawn."""

import copy
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from torch import Tensor
from torch.nn import functional

from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.augmentation import Augmentation, Chain
from encodec_lab.data.converted_audio import read_converted_crop
from encodec_lab.data.crops import Crop, CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.gain import RandomGain
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.source_reader import Origin
from encodec_lab.evaluation.html_table import decimal
from encodec_lab.evaluation.listening import ListeningExample
from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.evaluation.transmission import Transmitted

PAGE_FILE = "report.html"
TABLE_FILE = "README.md"
_SUBTYPES = {"flac": "PCM_16", "ogg": "VORBIS"}


class HeardCrop(NamedTuple):
    """A crop of training beside what is in the files that it was made from.

    Attributes:
        name: of the augmentation, of the strategy of mixing, or of the crop.
        setting: how often training does this.
        originals: [C, T] each, of every recording in it.
        origins: where these are, in words.
        wav: [C, T], what training hears.
        drawn: at random, in words.
    """

    name: str
    setting: str
    originals: tuple[Tensor, ...]
    origins: tuple[str, ...]
    wav: Tensor
    drawn: str


def hear_augmentations(crops: CropDataset, num_crops: int) -> list[HeardCrop]:
    """Every augmentation and every strategy of mixing by itself, then the first crops with all of them as configured.

    Augmentations that are off are there too; strategies of probability 0 are not.

    Raises:
        ValueError: the files cannot be read.
    """
    given = crops.augmentations
    heard = []
    if given.speed is not None:
        always = dataclasses.replace(given.speed, probability=1.0)
        heard.append(_hear(crops, CropAugmentations(speed=always), 0, "speed", _how_often(given.speed)))
    for step in _steps(given.recording):
        alone = CropAugmentations(recording=_always(step))
        heard.append(_hear(crops, alone, 0, _name(step), _how_often(step)))
    if given.mixing is not None:
        for name, strategy in given.mixing.strategies.items():
            if strategy.probability > 0:
                only = {name: dataclasses.replace(strategy, probability=1.0)}
                alone = CropAugmentations(mixing=dataclasses.replace(given.mixing, strategies=only))
                heard.append(_hear(crops, alone, 0, f"strategy {name}", _how_often(strategy)))
    for step in _steps(given.crop):
        heard.append(_hear(crops, CropAugmentations(crop=_always(step)), 0, _name(step), _how_often(step)))
    for index in range(num_crops):
        heard.append(_hear(crops, given, index, f"crop {index}", "everything as configured"))
    return heard


def write_augmentation_page(
    folder: Path, heard: Sequence[HeardCrop], sample_rate_hz: int, sound_format: str
) -> None:
    """Write the page, `report.html`; and the sounds as files of their own, with a table of them, `README.md`.

    Args:
        folder: is made if missing; files of these names are replaced.
        heard: what to show.
        sample_rate_hz: of all sounds.
        sound_format: of the files: "flac", or "ogg" (Vorbis), a quarter of it.

    Raises:
        ValueError: another format, or there is nothing to show.
        OSError: something cannot be written.
    """
    if sound_format not in _SUBTYPES:
        raise ValueError(f"the sounds' format must be {' or '.join(_SUBTYPES)}, got {sound_format!r}")
    if not heard:
        raise ValueError("there is nothing to hear: all augmentations are null, and no crops are asked for")
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "audio": f"{sample_rate_hz / 1000:g} kHz, {'mono' if heard[0].wav.shape[0] == 1 else 'stereo'}",
        "crops": f"{heard[0].wav.shape[-1] / sample_rate_hz:g} s",
    }
    examples = [_example(one, sample_rate_hz) for one in heard]
    content = ReportContent("What training hears", facts, examples=examples, subject="augmentation")
    write_report(folder / PAGE_FILE, content)
    rows = ["| what | how often | original | in training | drawn |", "|---|---|---|---|---|"]
    names: dict[bytes, str] = {}  # by their samples: several crops may be of one place
    for one in heard:
        for words, wav in [*zip(one.origins, one.originals, strict=True), (one.name, one.wav)]:
            name = f"{len(names):02d}_{re.sub(r'[^0-9A-Za-z.]+', '_', words)}.{sound_format}"
            if names.setdefault(wav.numpy().tobytes(), name) == name:
                samples = wav.clamp(-1, 1).T.numpy()
                soundfile.write(folder / name, samples, sample_rate_hz, subtype=_SUBTYPES[sound_format])
        links = [
            f"[{words}]({names[wav.numpy().tobytes()]})"
            for words, wav in zip(one.origins, one.originals, strict=True)
        ]
        heard_link = f"[{one.name}]({names[one.wav.numpy().tobytes()]})"
        rows.append(f"| {one.name} | {one.setting} | {', '.join(links)} | {heard_link} | {one.drawn} |")
    with atomic_file(folder / TABLE_FILE) as staged:
        staged.write_text("\n".join(["# What training hears", "", *rows, ""]), encoding="utf-8")


def _hear(
    crops: CropDataset, augmentations: CropAugmentations, index: int, name: str, setting: str
) -> HeardCrop:
    of_recordings, of_crop = (
        _Observed(step) for step in (augmentations.recording or Chain([]), augmentations.crop or Chain([]))
    )
    observed = dataclasses.replace(augmentations, recording=of_recordings, crop=of_crop)
    crop = crops.with_augmentations(observed).draw(index)
    drawn = [
        *_words_of_speed(augmentations, crop),
        *of_recordings.drawn,
        *_words_of_gains(crop),
        *of_crop.drawn,
    ]
    originals = tuple(_read_original(crops, origin) for origin in crop.origins)
    origins = tuple(f"{Path(origin.info.path).name} from {origin.start_s:.2f} s" for origin in crop.origins)
    return HeardCrop(name, setting, originals, origins, crop.wav, "; ".join(drawn) or "nothing")


class _Observed:
    """An augmentation, or a chain, that writes down in words what it draws."""

    def __init__(self, augmentation: Augmentation) -> None:
        self.drawn: list[str] = []
        self._steps = _steps(augmentation)

    def __call__(self, wav: Tensor, rng: np.random.Generator) -> Tensor:
        for step in self._steps:
            # The same numbers are drawn twice, the first time from a copy.
            if words := _words(step, copy.deepcopy(rng)):
                self.drawn.append(words)
            wav = step(wav, rng)
        return wav


def _words(step: Augmentation, rng: np.random.Generator) -> str:
    match step:
        case RandomGain():
            return f"gain {decimal(step.draw(rng), 1)} dB"
        case RandomEqualizer() if (gains_db := step.draw(rng)) is not None:
            return f"bands {', '.join(decimal(gain_db, 1) for gain_db in gains_db)} dB"
        case RandomReverb() if (room := step.draw(rng)) is not None:
            ratio_db = decimal(room.direct_to_reverberant_db, 1)
            return f"RT60 {room.rt60_s:.2f} s, direct to reverberant {ratio_db} dB"
    return ""


def _words_of_speed(augmentations: CropAugmentations, crop: Crop) -> list[str]:
    if augmentations.speed is None or augmentations.speed.probability == 0:
        return []
    return [f"speed {', '.join(f'{float(origin.speed):g}' for origin in crop.origins)}"]


def _words_of_gains(crop: Crop) -> list[str]:
    if not crop.gains_db:
        return []
    gains = ", ".join(decimal(gain_db, 1) for gain_db in crop.gains_db)
    return [f"{crop.strategy}: peak of the file to 0 dB, then {gains} dB"]


def _read_original(crops: CropDataset, origin: Origin) -> Tensor:
    """[C, T]: what the file holds there, at its own speed and level."""
    offset = round(origin.start_s * crops.sample_rate_hz)
    wav = read_converted_crop(origin.info, offset, crops.num_samples, crops.sample_rate_hz, crops.channels)
    return functional.pad(wav, (0, crops.num_samples - wav.shape[-1]))


def _example(heard: HeardCrop, sample_rate_hz: int) -> ListeningExample:
    first, *others = heard.originals
    versions = [Transmitted(f"original {n}", None, None, wav) for n, wav in enumerate(others, 2)]
    versions.append(Transmitted("in training", None, None, heard.wav))
    return ListeningExample(
        heard.name, heard.setting, sample_rate_hz, first, versions, notes=(*heard.origins, heard.drawn)
    )


def _steps(augmentation: Augmentation | None) -> Sequence[Augmentation]:
    if augmentation is None:
        return ()
    return augmentation.steps if isinstance(augmentation, Chain) else (augmentation,)


def _always(step: Augmentation) -> Augmentation:
    if isinstance(step, RandomEqualizer | RandomReverb):
        return dataclasses.replace(step, probability=1.0)
    return step


def _how_often(step: Any) -> str:
    probability = getattr(step, "probability", 1.0)
    if probability >= 1:
        return "always"
    return f"probability {probability:g}" if probability > 0 else "off as configured"


def _name(step: Augmentation) -> str:
    names = {RandomGain: "gain", RandomEqualizer: "equalizer", RandomReverb: "reverb"}
    return names.get(type(step), type(step).__name__)
