"""Codecs and good streams of them, for the hostile streams to start from."""

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType

from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from small_lm import random_integer_lm, random_lm, small_lm_config

from encodec_lab.bitstream import v1_layout
from encodec_lab.bitstream.stream_writer import write_blocks
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import short_identity
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import LMModel


@dataclass(frozen=True)
class Subject:
    """A codec and good streams of it, to start from: of two recordings, in one format.

    Attributes:
        other_lm: identity of a language model that is not the codec's, of streams of version 1 with one.
    """

    name: str
    model: EncodecModel
    streams: tuple[bytes, ...]
    format: str
    other_lm: bytes | None = None


def make_subjects() -> list[Subject]:
    """Each format with a codec in one piece and one with segments, and with a language model."""
    # Short segments, so that not much of a case's time goes to the language model.
    short = dataclasses.replace(SMALL_48KHZ, segment_s=0.1)
    configs = (SMALL_24KHZ, SMALL_48KHZ, SMALL_24KHZ, short)
    whole, segmented, whole_integer, segmented_integer = map(random_codec, configs)
    for model in (whole, segmented, whole_integer, segmented_integer):
        model.set_target_bandwidth(model.target_bandwidths[0])
    for model in (whole, segmented):
        _attach(model, random_lm(small_lm_config(model.config)))
    for model in (whole_integer, segmented_integer):
        _attach(model, random_integer_lm(model.config))
    other_lm = short_identity(random_integer_lm(SMALL_24KHZ, seed=1))
    return [
        Subject("v0", whole, _streams(whole, (3_000, 2_500), "v0"), "v0"),
        Subject("v0 segments", segmented, _streams(segmented, (48_200, 2_000), "v0"), "v0"),
        Subject("v0 lm", whole, _streams(whole, (1_000, 700), "v0", use_lm=True), "v0"),
        Subject("v1", whole, _streams(whole, (9_000, 9_000), "v1"), "v1"),
        Subject("v1 segments", segmented, _streams(segmented, (3 * 47_520, 2 * 47_520 + 481), "v1"), "v1"),
        Subject(
            "v1 lm",
            whole_integer,
            _streams(whole_integer, (9_000, 7_000), "v1", use_lm=True),
            "v1",
            other_lm,
        ),
        Subject(
            "v1 lm halves",
            whole_integer,
            _streams(whole_integer, (50_000, 49_000), "v1", use_lm=True, record_s=2.05),
            "v1",
            other_lm,
        ),
        Subject(
            "v1 lm segments",
            segmented_integer,
            _streams(segmented_integer, (3 * 4_752, 2 * 4_752 + 481), "v1", use_lm=True),
            "v1",
            other_lm,
        ),
    ]


def _attach(model: EncodecModel, lm: LMModel | IntegerLM) -> None:
    model.get_lm_model = MethodType(lambda self: lm, model)  # type: ignore[method-assign]


def _streams(
    model: EncodecModel,
    lengths: Sequence[int],
    format: str,
    use_lm: bool = False,
    record_s: float = 0.1,
) -> tuple[bytes, ...]:
    streams = []
    for seed, num_samples in enumerate(lengths):
        file = io.BytesIO()
        wav = random_wav(model.channels, num_samples, seed)
        source = v1_layout.SourceAudio(44_100, 2)
        write_blocks(file, model, [wav], use_lm=use_lm, format=format, source=source, record_s=record_s)
        streams.append(file.getvalue())
    return tuple(streams)
