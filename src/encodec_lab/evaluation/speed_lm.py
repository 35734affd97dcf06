"""How fast entropy coding with a language model is, alone and as part of compression, beside the reference's.

Weights are random: they cost the same time as trained ones.
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from encodec_lab.bitstream.code_payload import CodedRecord
from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.bitstream.lm_coder import IntegerLMCoder
from encodec_lab.data.carried_audio import carried_recording
from encodec_lab.evaluation.speed import RealTimeFactors, RoundTrip, measure_round_trips
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, ENCODEC_LM_48KHZ, LMModel
from encodec_lab.models.lm_source import LMSource
from encodec_lab.types import EncodedFrame

_LMS = {ENCODEC_24KHZ.sample_rate_hz: ENCODEC_LM_24KHZ, ENCODEC_48KHZ.sample_rate_hz: ENCODEC_LM_48KHZ}
# Long enough to see the ranges of the activations with.
_CALIBRATION_FRAMES = 150


class Comparison(NamedTuple):
    """One line of a benchmark.

    Attributes:
        what: was measured.
        ours: factors.
        theirs: the reference's, if it is at hand.
    """

    what: str
    ours: RealTimeFactors
    theirs: RealTimeFactors | None


def compare_language_model_coding(model: EncodecModel, reference: ModuleType | None) -> list[Comparison]:
    """Entropy coding alone, and compression with it: of 10 s in turns with the reference's, and of 60 s.

    Args:
        model: of a published architecture, with random weights, at the bandwidth wanted; it gets a language model.
        reference: the package `encodec` 0.1.1, or None.
    """
    wav = carried_recording(model.sample_rate, model.channels, 60.0)
    short = wav[:, : 10 * model.sample_rate]
    lm = with_random_lm(model, short)
    trips = [entropy_coding(model, short), compression(model, short)]
    if reference is not None:
        trips += reference_round_trips(reference, model, lm, short)
    in_turns = measure_round_trips(trips, num_repeats=3)
    longer = measure_round_trips([entropy_coding(model, wav), compression(model, wav)], num_repeats=1)
    theirs: Sequence[RealTimeFactors | None] = in_turns[2:] or [None, None]
    names = ("entropy coding alone", "compression with language model")
    return [
        Comparison(f"{name}, {audio}", ours[place], theirs[place])
        for place, name in enumerate(names)
        for audio, ours in (("10 s", in_turns), ("60 s (reference: 10 s)", longer))
    ]


@torch.no_grad()
def with_random_lm(model: EncodecModel, wav: Tensor) -> LMModel:
    """Give a published architecture an integer language model of the published size; the float one it was made of."""
    torch.manual_seed(0)
    lm = LMModel(_LMS[model.sample_rate]).eval()
    codes = torch.cat([frame.codes for frame in model.encode(wav[None])], dim=-1)[..., :_CALIBRATION_FRAMES]
    model.lm_source = LMSource(to_integer_lm(lm, codes))
    return lm


def entropy_coding(model: EncodecModel, wav: Tensor, record_s: float = 5.0) -> RoundTrip:
    """Codes of a recording [C, T] to bytes and back, in records."""
    lm = model.get_lm_model()
    assert isinstance(lm, IntegerLM)
    coder = IntegerLMCoder(lm)
    with torch.no_grad():
        frames = model.encode(wav[None])
    num_parts = max(1, round(record_s * model.sample_rate / (model.segment_stride or model.hop_length)))
    parts = [frame.codes[0] for frame in frames]
    if model.segment_length is None:
        parts = list(torch.split(parts[0], 1, dim=-1))
    records = [
        torch.cat(parts[start : start + num_parts], dim=-1).numpy()
        for start in range(0, len(parts), num_parts)
    ]
    shapes = [record.shape for record in records]
    return RoundTrip(
        wav.shape[1] / model.sample_rate,
        lambda: coder.encode(records),
        lambda data: coder.decode(
            [CodedRecord(content, *shape) for content, shape in zip(data, shapes, strict=True)]
        ),
    )


def compression(model: EncodecModel, wav: Tensor) -> RoundTrip:
    """A recording [C, T] to a stream of version 1 and back."""
    return RoundTrip(
        wav.shape[1] / model.sample_rate,
        lambda: compress(model, wav, use_lm=True, format="v1"),
        lambda data: decompress(data, model=model),
    )


def reference_round_trips(
    reference: ModuleType, model: EncodecModel, lm: LMModel, wav: Tensor
) -> tuple[RoundTrip, RoundTrip]:
    """The reference's entropy coding, and its compression, of the same recording with the same weights.

    Args:
        reference: its package, `encodec` 0.1.1.
        model: of a published architecture, at the bandwidth wanted.
        lm: in floating point, of the published size.
        wav: [C, T].
    """
    rate_khz = model.sample_rate // 1000
    codec = getattr(reference.EncodecModel, f"encodec_model_{rate_khz}khz")(pretrained=False)
    codec.name = f"encodec_{rate_khz}khz"  # without published weights it has none, and compresses for no one
    codec.load_state_dict(model.state_dict())
    codec.set_target_bandwidth(model.bandwidth)
    twin = reference.model.LMModel(
        lm.config.num_codebooks,
        lm.config.codebook_size,
        lm.config.dim,
        num_layers=lm.config.num_layers,
        past_context=lm.config.past_context_frames,
    )
    twin.load_state_dict(lm.state_dict())
    twin.eval()
    codec.get_lm_model = lambda: twin
    with torch.no_grad():
        frames = codec.encode(wav[None])
    instant = _Instant(codec, frames)
    return _reference_trip(reference, instant, wav), _reference_trip(reference, codec, wav)


class _Instant:
    """A codec of the reference's that takes no time, so that its `compress` does nothing but the entropy coding."""

    def __init__(self, codec: Any, frames: list[EncodedFrame]) -> None:
        self._codec = codec
        self._frames = frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def to(self, device: str) -> "_Instant":
        return self

    def encode(self, wav: Tensor) -> list[EncodedFrame]:
        return self._frames

    def decode(self, frames: list[EncodedFrame]) -> Tensor:
        return torch.zeros(1, 1, 0)


def _reference_trip(reference: ModuleType, codec: Any, wav: Tensor) -> RoundTrip:
    program: Any = importlib.import_module(
        f"{reference.__name__}.compress"
    )  # its package has a function of that name

    def decode(data: bytes) -> Any:
        # It would otherwise fetch the published weights.
        known, program.MODELS = program.MODELS, {codec.name: lambda: codec}
        try:
            return program.decompress(data)
        finally:
            program.MODELS = known

    return RoundTrip(
        wav.shape[1] / codec.sample_rate, lambda: program.compress(codec, wav, use_lm=True), decode
    )
