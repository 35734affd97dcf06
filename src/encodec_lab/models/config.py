"""What builds a codec, and the two published architectures (EnCodec, arXiv 2210.13438, section 3 and appendix)."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from encodec_lab.modules.conv import Norm
from encodec_lab.modules.seanet import SeanetShape

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Config = TypeVar("Config", bound="DataclassInstance")


def is_count(value: object, minimum: int) -> bool:
    """Whether `value` is an integer, no bool, of at least `minimum`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def config_from_dict(cls: type[Config], values: Mapping[str, Any], kind: str) -> Config:
    """Build a dataclass from a mapping out of a file; `kind` says in messages what it configures.

    Raises:
        ValueError: a field is unknown, missing or has an impossible value; the message names it.
    """
    names = {field.name for field in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - names):
        raise ValueError(
            f"unknown {kind} settings {', '.join(unknown)}; known are {', '.join(sorted(names))}"
        )
    if missing := sorted(names - set(values)):
        raise ValueError(f"{kind} settings {', '.join(missing)} are missing")
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"a {kind} setting has a value of the wrong type: {error}") from error


# More are of no use, and a configuration out of a file is not to fill the memory.
MAX_CODEBOOKS = 128
_MAX_SEGMENT_SAMPLES = 1 << 31


@dataclass(frozen=True)
class CodecConfig:
    """All that builds a codec; plain JSON values only.

    Attributes:
        name: what streams of this codec call their model.
        sample_rate_hz: of the audio.
        channels: 1 or 2.
        bandwidths: target bandwidths in kbps, ascending; the highest decides the number of codebooks, 128 at most.
        causal: pad the past only, so that the codec can stream.
        norm: "weight_norm" or "time_group_norm" (GroupNorm with one group).
        num_filters: see `SeanetShape`, as for all up to `num_lstm_layers`.
        codebook_size: entries of a codebook, a power of two.
        normalize: divide every segment by its RMS (of the mono mix), which is sent along.
        segment_s: length of a segment in seconds, or None to code a recording in one piece.
        segment_overlap: share of a segment that overlaps with the next one, half at most.
    """

    name: str
    sample_rate_hz: int
    channels: int
    bandwidths: tuple[float, ...]
    causal: bool
    norm: Norm
    num_filters: int
    strides: tuple[int, ...]
    latent_dim: int
    num_residual_units: int
    kernel_size: int
    last_kernel_size: int
    residual_kernel_size: int
    dilation_base: int
    compress: int
    num_lstm_layers: int
    codebook_size: int
    normalize: bool
    segment_s: float | None
    segment_overlap: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "bandwidths", tuple(float(kbps) for kbps in self.bandwidths))
        object.__setattr__(self, "strides", tuple(self.strides))
        self._check_types()
        if self.channels not in (1, 2):
            raise ValueError(f"channels must be 1 or 2, got {self.channels}")
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {self.norm!r}")
        if self.causal and self.norm == "time_group_norm":
            raise ValueError("a causal codec cannot use norm 'time_group_norm', which looks at all of time")
        if self.codebook_size < 2 or self.codebook_size & (self.codebook_size - 1):
            raise ValueError(f"codebook_size must be a power of two, got {self.codebook_size}")
        self._check_segments()
        self._check_bandwidths()

    def _check_types(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a text, got {self.name!r}")
        for field in dataclasses.fields(self):
            if field.type is bool and type(getattr(self, field.name)) is not bool:
                raise ValueError(f"{field.name} must be true or false, got {getattr(self, field.name)!r}")
            minimum = 0 if field.name in ("num_residual_units", "num_lstm_layers") else 1
            if field.type is int and not is_count(getattr(self, field.name), minimum):
                raise ValueError(
                    f"{field.name} must be an integer of at least {minimum}, got {getattr(self, field.name)!r}"
                )
        if not self.strides or not all(is_count(stride, 1) for stride in self.strides):
            raise ValueError(f"strides must be positive integers, got {list(self.strides)}")
        if self.num_filters < self.compress:
            raise ValueError(f"num_filters {self.num_filters} must be at least compress {self.compress}")

    def _check_segments(self) -> None:
        if not _is_number(self.segment_overlap) or not 0 <= self.segment_overlap <= 0.5:
            raise ValueError(f"segment_overlap must be 0 to 0.5, got {self.segment_overlap!r}")
        if self.segment_s is None:
            return
        longest_s = _MAX_SEGMENT_SAMPLES / self.sample_rate_hz
        if not _is_number(self.segment_s) or not 0 < self.segment_s <= longest_s:
            raise ValueError(
                f"segment_s must be a number of seconds, {longest_s:.0f} at most, got {self.segment_s!r}"
            )
        assert self.segment_stride is not None
        if self.segment_stride < self.hop_length:
            raise ValueError(
                f"segment_s {self.segment_s:g} is too short: with an overlap of {self.segment_overlap:g} a segment "
                f"starts every {self.segment_stride} samples, but a frame takes {self.hop_length}"
            )

    def _check_bandwidths(self) -> None:
        if not self.bandwidths or list(self.bandwidths) != sorted(set(self.bandwidths)):
            raise ValueError(f"bandwidths must be ascending and distinct, got {list(self.bandwidths)}")
        lowest = self.frame_rate_hz * self.bits_per_codebook / 1000
        for kbps in self.bandwidths:
            if not lowest <= kbps < math.inf:
                raise ValueError(
                    f"bandwidth {kbps:g} kbps is impossible: one codebook of {self.bits_per_codebook} bits at "
                    f"{self.frame_rate_hz} frames a second takes {lowest:g} kbps"
                )
        if self.num_codebooks > MAX_CODEBOOKS:
            raise ValueError(
                f"bandwidth {self.bandwidths[-1]:g} kbps takes {self.num_codebooks} codebooks of "
                f"{self.bits_per_codebook} bits; {MAX_CODEBOOKS} are possible at most"
            )

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return math.prod(self.strides)

    @property
    def segment_length(self) -> int | None:
        """Samples of a segment."""
        return None if self.segment_s is None else int(self.segment_s * self.sample_rate_hz)

    @property
    def segment_stride(self) -> int | None:
        """Samples from the start of a segment to the start of the next."""
        length = self.segment_length
        return None if length is None else int((1 - self.segment_overlap) * length)

    @property
    def frame_rate_hz(self) -> int:
        """Latent frames per second, rounded up."""
        return math.ceil(self.sample_rate_hz / self.hop_length)

    def num_frames(self, num_samples: int) -> int:
        """Latent frames of so many samples, of one segment at most; the last frame may reach beyond them."""
        return -(-num_samples // self.hop_length)

    @property
    def bits_per_codebook(self) -> int:
        """Bits of one code."""
        return self.codebook_size.bit_length() - 1

    @property
    def num_codebooks(self) -> int:
        """Codebooks at the highest bandwidth."""
        return self.num_codebooks_for(self.bandwidths[-1])

    def num_codebooks_for(self, bandwidth_kbps: float) -> int:
        """How many codebooks fit into a bandwidth: floor(kbps * 1000 / (bits * frame rate))."""
        bits_per_second = round(bandwidth_kbps * 1000, 3)  # 2.03 * 1000 is under 2030
        return int(bits_per_second // (self.bits_per_codebook * self.frame_rate_hz))

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Codebooks at each bandwidth."""
        return tuple(map(self.num_codebooks_for, self.bandwidths))

    @property
    def seanet_shape(self) -> SeanetShape:
        """The part of the configuration that shapes encoder and decoder."""
        names = [field.name for field in dataclasses.fields(SeanetShape)]
        return SeanetShape(**{name: getattr(self, name) for name in names})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; `from_dict` takes them back."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CodecConfig":
        """Build from `to_dict`'s values.

        Raises:
            ValueError: a field is unknown, missing or has an impossible value; the message names it.
        """
        return config_from_dict(cls, values, "codec")


ENCODEC_24KHZ = CodecConfig(
    name="encodec_24khz",
    sample_rate_hz=24_000,
    channels=1,
    bandwidths=(1.5, 3.0, 6.0, 12.0, 24.0),
    causal=True,
    norm="weight_norm",
    num_filters=32,
    strides=(2, 4, 5, 8),
    latent_dim=128,
    num_residual_units=1,
    kernel_size=7,
    last_kernel_size=7,
    residual_kernel_size=3,
    dilation_base=2,
    compress=2,
    num_lstm_layers=2,
    codebook_size=1024,
    normalize=False,
    segment_s=None,
    segment_overlap=0.01,
)

ENCODEC_48KHZ = dataclasses.replace(
    ENCODEC_24KHZ,
    name="encodec_48khz",
    sample_rate_hz=48_000,
    channels=2,
    bandwidths=(3.0, 6.0, 12.0, 24.0),
    causal=False,
    norm="time_group_norm",
    normalize=True,
    segment_s=1.0,
)

PUBLISHED_NAMES = (ENCODEC_24KHZ.name, ENCODEC_48KHZ.name)


def check_own_name(name: str) -> None:
    """ValueError for a name of Meta's codecs, by which version 0 of the stream format knows Meta's weights."""
    if name in PUBLISHED_NAMES:
        raise ValueError(
            f"streams of a codec named {name} would be decoded by Meta's weights; give another name=…"
        )
