"""Encoder and decoder of a codec in the form for inference, each made once for a set of weights."""

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.streaming import StreamingLayer, StreamingSequence
from encodec_lab.modules.streaming_lstm import StreamingSkipLSTM
from encodec_lab.quantization.packed_codebooks import PackedCodebooks

Packed = TypeVar("Packed")
_State = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class PackedEncoder:
    """What makes codes, divided at the LSTM; without an LSTM the part with it has no layers.

    Attributes:
        before_lstm: from the waveform on.
        lstm_on: the LSTM, and what gives the latent.
        codebooks: what searches for codes.
    """

    before_lstm: StreamingSequence
    lstm_on: StreamingSequence
    codebooks: PackedCodebooks


@dataclass(frozen=True)
class PackedDecoder:
    """What makes waveforms, divided at the LSTM; without an LSTM the part with it has no layers.

    Attributes:
        to_lstm: what takes the latent, and the LSTM.
        after_lstm: to the waveform.
    """

    to_lstm: StreamingSequence
    after_lstm: StreamingSequence


# Model -> for each of its networks, the state that its tensors had when they were packed, and what was made of them.
_known: "weakref.WeakKeyDictionary[nn.Module, dict[str, tuple[_State, Any]]]" = weakref.WeakKeyDictionary()
_packing = threading.Lock()


def packed_encoder(model: EncodecModel) -> PackedEncoder:
    """The model's encoder with the weights as they are now; made again only after a tensor has changed.

    As for `module_identity`, writes through a tensor's `.data` are not noticed.
    """
    return _packed(model, (model.encoder, model.quantizer), _pack_encoder)


def packed_decoder(model: EncodecModel) -> PackedDecoder:
    """The model's decoder, as `packed_encoder` for the encoder."""
    return _packed(model, (model.decoder,), _pack_decoder)


def _packed(
    model: EncodecModel, parts: Sequence[nn.Module], pack: Callable[[EncodecModel], Packed]
) -> Packed:
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    if any(tensor.is_inference() for tensor in tensors):  # these do not count how often they were written to
        return pack(model)
    state = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
    with _packing:  # threads that share a model want one form of it
        known = _known.setdefault(model, {})
        if pack.__name__ not in known or known[pack.__name__][0] != state:
            known[pack.__name__] = (state, pack(model))
        packed: Packed = known[pack.__name__][1]
        return packed


def _pack_encoder(model: EncodecModel) -> PackedEncoder:
    layers = StreamingSequence(model.encoder.model).layers
    lstm = _lstm_place(layers, len(layers))
    return PackedEncoder(
        before_lstm=StreamingSequence.of(layers[:lstm]),
        lstm_on=StreamingSequence.of(layers[lstm:]),
        codebooks=PackedCodebooks(model.quantizer.codebooks),
    )


def _pack_decoder(model: EncodecModel) -> PackedDecoder:
    layers = StreamingSequence(model.decoder.model).layers
    lstm = _lstm_place(layers, -1)
    return PackedDecoder(
        to_lstm=StreamingSequence.of(layers[: lstm + 1]),
        after_lstm=StreamingSequence.of(layers[lstm + 1 :]),
    )


def _lstm_place(layers: list[StreamingLayer], without: int) -> int:
    """Where the LSTM is; `without` if there is none."""
    places = (place for place, layer in enumerate(layers) if isinstance(layer, StreamingSkipLSTM))
    return next(places, without)
