"""Workers that die; a module of its own, since processes import it by name."""

import os
from collections.abc import Iterator, Sequence

from encodec_lab.corpus import encode_task as real
from encodec_lab.corpus.inputs import CorpusInput


def encode_task(
    settings: real.EncodingSettings, task: Sequence[CorpusInput]
) -> Iterator[real.Encoded | real.Failed | real.Stored | real.Stopped]:
    """As the real one, but for the recording that kills it, as one may that exhausts the memory."""
    for item in task:
        if item.name == "a/3.wav":
            os._exit(9)
    yield from real.encode_task(settings, task)


def store_and_die(
    settings: real.EncodingSettings, task: Sequence[CorpusInput]
) -> Iterator[real.Encoded | real.Failed | real.Stored | real.Stopped]:
    """As the real one, but for a task with one recording beside others, after which it dies without a word."""
    outcomes = list(real.encode_task(settings, task))
    if len(task) > 1 and any(item.name == "a/3.wav" for item in task):
        os._exit(9)
    yield from outcomes
