"""What a codec's work amounts to, and how fast this processor could do it at best: the floor under its times."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.packed_conv import PackedConv1d

_NUM_TRIES = 20
_BYTES_PER_VALUE = 4


class Work(NamedTuple):
    """Arithmetic and traffic.

    Attributes:
        operations: additions and multiplications.
        num_bytes: of every layer's input and output, once each, and of every weight once.
    """

    operations: float
    num_bytes: float

    def times(self, factor: float) -> "Work":
        """So much more of it."""
        return Work(factor * self.operations, factor * self.num_bytes)


class Peak(NamedTuple):
    """What one thread reaches at best, measured.

    Attributes:
        operations_per_s: of the fastest single convolution.
        bytes_per_s: read and written, of a copy too large for the caches.
    """

    operations_per_s: float
    bytes_per_s: float

    def floor_s(self, work: Work) -> float:
        """The least time for some work: arithmetic and traffic at their peaks, side by side."""
        return max(work.operations / self.operations_per_s, work.num_bytes / self.bytes_per_s)


@torch.no_grad()
def measure_peak() -> Peak:
    """On one of torch's threads, whatever it has been set to."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        conv, x = PackedConv1d(torch.randn(256, 128, 10), None, stride=5), torch.randn(1, 5_000, 128)
        operations = 2 * conv(x).numel() * 128 * 10
        source = torch.zeros(1 << 26)  # 256 MB
        target = torch.zeros_like(source)
        return Peak(
            operations / _least_s(lambda: conv(x)),
            2 * _BYTES_PER_VALUE * source.numel() / _least_s(lambda: target.copy_(source)),
        )
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def work_of(model: EncodecModel, duration_s: float) -> tuple[Work, Work]:
    """The work of encoding and of decoding a recording at the bandwidth in use."""
    wav = torch.zeros(1, model.channels, round(duration_s * model.sample_rate))
    short = wav[..., : model.segment_length or min(wav.shape[-1], model.sample_rate)]
    with _counted(model.encoder) as encoder:
        latent = model.encoder(short)
    with _counted(model.decoder) as decoder:
        model.decoder(latent)
    num_frames = latent.shape[-1]
    entries = model.num_codebooks_for(model.bandwidth) * model.config.codebook_size * model.config.latent_dim
    search = Work(2.0 * num_frames * entries, _BYTES_PER_VALUE * (entries + latent.numel()))
    times = wav.shape[-1] / (model.segment_stride or short.shape[-1])
    return _total([*encoder, search]).times(times), _total(decoder).times(times)


@contextmanager
def _counted(network: nn.Module) -> Iterator[list[Work]]:
    """Within the block the work of each of a network's layers is noted."""
    done: list[Work] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        y = output[0] if isinstance(output, tuple) else output
        num_weights = sum(parameter.numel() for parameter in layer.parameters())
        done.append(
            Work(
                _operations(layer, inputs[0], y),
                _BYTES_PER_VALUE * (inputs[0].numel() + y.numel() + num_weights),
            )
        )

    hooks = [
        layer.register_forward_hook(note)
        for layer in network.modules()
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d | nn.LSTM)
    ]
    try:
        yield done
    finally:
        for hook in hooks:
            hook.remove()


def _total(parts: Sequence[Work]) -> Work:
    return Work(sum(part.operations for part in parts), sum(part.num_bytes for part in parts))


def _operations(layer: nn.Module, x: Tensor, y: Tensor) -> float:
    if isinstance(layer, nn.Conv1d):
        return 2.0 * y.numel() * layer.in_channels * layer.kernel_size[0]
    if isinstance(layer, nn.ConvTranspose1d):
        return 2.0 * x.numel() * layer.out_channels * layer.kernel_size[0]
    num_steps = x.shape[0] * x.shape[1]
    matrices = sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("weight"))
    return 2.0 * num_steps * matrices


def _least_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_NUM_TRIES):
        started_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - started_s)
    return min(times)
