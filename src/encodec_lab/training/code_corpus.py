"""Shards of codes, as `recipes/encode_corpus.py` writes them, as data of a language model."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encodec_lab.data.code_shards import read_code_shards, read_description
from encodec_lab.data.manifest import SourceEntry
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import module_identity


def read_code_corpus(entry: SourceEntry, codec: EncodecModel) -> tuple[float, list[NDArray[np.int16]]]:
    """The weight of a folder of shards, without one its seconds of audio, and the codes [K, L] of its recordings.

    Raises:
        ValueError: it is of another codec or a lower bandwidth, is damaged, or holds no codes.
    """
    described = read_description(entry.path)
    assert described is not None
    config = {**codec.config.to_dict(), "name": None}
    if (
        described.get("identity") != module_identity(codec)
        or {**described.get("config", {}), "name": None} != config
    ):
        raise ValueError(
            f"{entry.path}: codes of the codec {described.get('model')}, {str(described.get('identity'))[:16]}…; "
            f"this one is {codec.name}, {module_identity(codec)[:16]}…"
        )
    highest = codec.target_bandwidths[-1]
    if described.get("num_codebooks") != codec.config.num_codebooks:
        raise ValueError(
            f"{entry.path}: codes at {described.get('bandwidth_kbps')} kbps; a language model is trained at the "
            f"highest bandwidth, {highest:g} kbps"
        )
    recordings = list(read_code_shards(Path(entry.path), codec.config.codebook_size))
    if not recordings:
        raise ValueError(f"{entry.path}: holds no codes yet")
    if any(recording.codes.shape[0] != codec.config.num_codebooks for recording in recordings):
        raise ValueError(f"{entry.path}: its shards are not of the bandwidth that its description says")
    duration_s = sum(recording.entry.num_samples for recording in recordings) / codec.sample_rate
    weight = duration_s if entry.weight is None else entry.weight
    return weight, [recording.codes for recording in recordings]
