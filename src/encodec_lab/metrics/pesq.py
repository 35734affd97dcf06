"""Wide-band PESQ (ITU-T P.862.2) by the `pesq` package, which runs in a process of its own since it can crash."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from encodec_lab.metrics.audio_pair import Audio, is_silent, mono_pair
from encodec_lab.metrics.not_scored import NotScored
from encodec_lab.modules.signal import resample

PESQ_RATE_HZ = 16_000
# The C code of pesq 0.0.4 corrupts its memory on longer audio (137 s passed, 164 s crashed).
LONGEST_CHUNK_S = 60
SHORTEST_S = 0.25
_TIMEOUT_S_PER_CHUNK = 120


def pesq(reference: Audio, degraded: Audio, sample_rate_hz: int) -> float:
    """MOS-LQO (1.04 to 4.64) of the mono mix of [T] or [C, T] signals, resampled to 16 kHz.

    Audio longer than 60 s is scored in equal chunks of at most 60 s, and the scores averaged.

    Raises:
        NotScored: silence, less than 0.25 s, unequal shapes, samples that are not finite, no utterance found in a
            chunk, the package missing, or a crash in it.
    """
    mixes = mono_pair(reference, degraded, sample_rate_hz, SHORTEST_S)
    if importlib.util.find_spec("pesq") is None:
        raise NotScored("the package pesq is not installed (it needs a C compiler): pip install pesq")
    pair = np.stack([resample(mix, int(sample_rate_hz), PESQ_RATE_HZ).numpy() for mix in mixes])  # [2, T]
    num_chunks = math.ceil(pair.shape[1] / (LONGEST_CHUNK_S * PESQ_RATE_HZ))
    chunks = np.array_split(pair, num_chunks, axis=1)
    for index, chunk in enumerate(chunks):
        for wav, which in zip(chunk, ("reference", "degraded"), strict=True):
            if is_silent(torch.from_numpy(wav)):
                raise NotScored(
                    f"silence: {_chunk_name(index, num_chunks)} of the {which} signal has no energy"
                )
    scores: list[float] = []
    for index, score in enumerate(_score_in_subprocess(chunks)):
        if isinstance(score, str) or not math.isfinite(score):
            raise NotScored(f"{_chunk_name(index, num_chunks)}: the package pesq returned: {score}")
        scores.append(score)
    return float(sum(scores) / num_chunks)


def _chunk_name(index: int, num_chunks: int) -> str:
    return "the whole" if num_chunks == 1 else f"part {index + 1} of {num_chunks}"


def _score_in_subprocess(chunks: list[np.ndarray]) -> list[float | str]:
    """One score, or the reason for none, for each [2, T] chunk; `NotScored` if the process dies."""
    # -P: without it the worker's own folder, which holds a pesq.py, would come before the package.
    command = [sys.executable, "-P", str(Path(__file__).with_name("pesq_worker.py"))]
    lengths = json.dumps([chunk.shape[1] for chunk in chunks]).encode()
    payload = lengths + b"\n" + b"".join(chunk.astype("<f8").tobytes() for chunk in chunks)
    try:
        finished = subprocess.run(
            command,
            input=payload,
            capture_output=True,
            timeout=_TIMEOUT_S_PER_CHUNK * len(chunks),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotScored(f"PESQ did not finish in {error.timeout:.0f} s") from error
    if finished.returncode != 0:
        said = finished.stderr.decode(errors="replace").strip().splitlines()
        raise NotScored(
            f"PESQ crashed with exit status {finished.returncode}" + (f": {said[-1]}" if said else "")
        )
    scores: list[float | str] = json.loads(finished.stdout)
    assert len(scores) == len(chunks)
    return scores
