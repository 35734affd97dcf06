"""Corpora of short noise, a small codec's export, and what encodes one with the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.corpus.encode_corpus import CorpusSummary, encode_corpus, prepare_encoding
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.corpus.workers import task_runner
from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import write_export


def write_recordings(
    folder: Path, names: Sequence[str], num_samples: int = 4_000, rate_hz: int = 24_000
) -> None:
    """Noise, another for each name."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * np.random.default_rng(index).standard_normal(num_samples)
        soundfile.write(path, noise.clip(-1, 1), rate_hz)


def export_small_codec(folder: Path, config: CodecConfig = SMALL_24KHZ, seed: int = 0) -> EncodecModel:
    """Write a codec with random weights as an export, at its highest bandwidth."""
    codec = random_codec(config, seed)
    write_export(folder, codec, {"made": "for tests"}, "# small\n\nA card.\n")
    codec.set_target_bandwidth(codec.target_bandwidths[-1])
    return codec


def encode(
    root: Path,
    format: str,
    *,
    workers: int = 0,
    backend: str = "local",
    slot: ArraySlot | None = None,
    **changes: Any,
) -> CorpusSummary:
    """Encode `root/audio` with the codec `root/codec` into `root/out`."""
    given = {"model": str(root / "codec"), "output": root / "out", "bandwidth_kbps": None, "lm": False}
    encoding = {key: changes.pop(key, value) for key, value in given.items()}
    settings, description = prepare_encoding(**encoding, format=format, device="cpu")
    return encode_corpus(
        changes.pop("data", root / "audio"),
        settings,
        description,
        slot or ArraySlot(0, 1),
        task_runner(backend, workers, None, "cpu"),
        changes.pop("inputs_per_task", 3),
        **changes,
    )
