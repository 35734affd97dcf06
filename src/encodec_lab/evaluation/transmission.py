"""What a system, such as a codec with its real bitstream, makes of a recording."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import short_identity


@dataclass(frozen=True)
class Transmitted:
    """What came out of compressing and decompressing.

    Attributes:
        system: its name.
        bandwidth_kbps: what was asked of the system; None for an anchor.
        true_kbps: from the size of the compressed file, headers and all, and the duration; None for an anchor.
        wav: [C, T] float32 on the CPU, as long as what went in, and in time with it.
    """

    system: str
    bandwidth_kbps: float | None
    true_kbps: float | None
    wav: Tensor


class System(Protocol):
    """Anything that turns a recording into a worse one: a codec, another encoder, an anchor.

    Attributes:
        name: for people.
        identity: changes whenever what comes out may change.
        bandwidths: in kbps, those to evaluate; (None,) for an anchor.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def bandwidths(self) -> Sequence[float | None]: ...

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        """Send [C, T] float32 at `sample_rate_hz` through the system.

        Raises:
            ValueError: the audio is none that the system can take.
            OSError: a program that the system runs failed.
        """
        ...


class CodecSystem:
    """A codec through its real bitstream, its language model included if asked for."""

    def __init__(
        self,
        model: EncodecModel,
        bandwidths: Sequence[float] | None = None,
        use_lm: bool = False,
        name: str | None = None,
    ) -> None:
        """Prepare a codec to be evaluated.

        Args:
            model: in evaluation mode.
            bandwidths: in kbps, all that the model supports by default.
            use_lm: entropy code with the model's language model.
            name: the model's own by default, and "+ LM" where that is used.

        Raises:
            ValueError: a bandwidth that the model does not support, or `use_lm` with a model that has none.
        """
        self.model = model
        self.use_lm = use_lm
        self.bandwidths: tuple[float, ...] = tuple(
            float(kbps) for kbps in (model.target_bandwidths if bandwidths is None else bandwidths)
        )
        for kbps in self.bandwidths:
            model.num_codebooks_for(kbps)
        self.name = name or model.name + (" + LM" if use_lm else "")
        # Weights alone do not tell what a codec does with them. Its own name is in it, since the form and the size of
        # a stream depend on it.
        config = json.dumps({**model.config.to_dict(), "name": model.name}, sort_keys=True)
        self.identity = f"{short_identity(model).hex()}-{hashlib.sha256(config.encode()).hexdigest()[:8]}"
        if use_lm:
            self.identity += "+" + short_identity(model.get_lm_model()).hex()

    def transmit(self, wav: Tensor, sample_rate_hz: int, bandwidth_kbps: float | None) -> Transmitted:
        """As `System.transmit`; the model's bandwidth is as before afterwards."""
        model = self.model
        if sample_rate_hz != model.sample_rate or bandwidth_kbps is None:
            raise ValueError(
                f"{self.name} takes {model.sample_rate} Hz at a bandwidth in kbps, "
                f"got {sample_rate_hz} Hz at {bandwidth_kbps}"
            )
        with model.at_bandwidth(bandwidth_kbps):
            data = compress(model, wav, use_lm=self.use_lm)
        decoded, _ = decompress(data, model=model)
        assert decoded.shape == wav.shape
        return Transmitted(
            self.name,
            float(bandwidth_kbps),
            file_kbps(len(data), wav, sample_rate_hz),
            decoded.to("cpu", torch.float32),
        )


def transmit(model: EncodecModel, wav: Tensor, bandwidth_kbps: float) -> Transmitted:
    """Compress [C, T] at a bandwidth and decompress it again."""
    return CodecSystem(model, (bandwidth_kbps,)).transmit(wav, model.sample_rate, bandwidth_kbps)


def file_kbps(num_bytes: int, wav: Tensor, sample_rate_hz: int) -> float:
    """The rate of a compressed file that holds [C, T]."""
    return num_bytes * 8 / (wav.shape[-1] / sample_rate_hz) / 1000
