"""Encoder and decoder of a codec in the form for inference, made once for a set of weights."""

import threading
import weakref
from dataclasses import dataclass

from torch import nn

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.modules.streaming import StreamingLayer, StreamingSequence
from encodec_lab.modules.streaming_lstm import StreamingSkipLSTM
from encodec_lab.quantization.packed_codebooks import PackedCodebooks


@dataclass(frozen=True)
class PackedNetworks:
    """Both networks, divided at their LSTMs; without an LSTM the parts with it have no layers.

    Attributes:
        encoder: up to the LSTM, at the waveform's end of the network.
        encoder_end: the LSTM, and what gives the latent.
        decoder_start: what takes the latent, and the LSTM.
        decoder: after the LSTM.
        codebooks: what searches for codes.
    """

    encoder: StreamingSequence
    encoder_end: StreamingSequence
    decoder_start: StreamingSequence
    decoder: StreamingSequence
    codebooks: PackedCodebooks


# Model -> the state that its tensors had when they were packed, and what was made of them.
_known: "weakref.WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], PackedNetworks]]" = (
    weakref.WeakKeyDictionary()
)
_packing = threading.Lock()


def packed_networks(model: EncodecModel) -> PackedNetworks:
    """The model's networks with the weights as they are now; made again only after a tensor has changed.

    As for `module_identity`, writes through a tensor's `.data` are not noticed.
    """
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_inference() for tensor in tensors):  # these do not count how often they were written to
        return _pack(model)
    state = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
    with _packing:  # threads that share a model want one form of it
        known = _known.get(model)
        if known is None or known[0] != state:
            known = _known[model] = (state, _pack(model))
        return known[1]


def _pack(model: EncodecModel) -> PackedNetworks:
    encoder = StreamingSequence(model.encoder.model).layers
    decoder = StreamingSequence(model.decoder.model).layers
    encoder_lstm, decoder_lstm = _lstm_place(encoder, len(encoder)), _lstm_place(decoder, -1)
    return PackedNetworks(
        encoder=StreamingSequence.of(encoder[:encoder_lstm]),
        encoder_end=StreamingSequence.of(encoder[encoder_lstm:]),
        decoder_start=StreamingSequence.of(decoder[: decoder_lstm + 1]),
        decoder=StreamingSequence.of(decoder[decoder_lstm + 1 :]),
        codebooks=PackedCodebooks(model.quantizer.codebooks),
    )


def _lstm_place(layers: list[StreamingLayer], without: int) -> int:
    """Where the LSTM is; `without` if there is none."""
    places = (place for place, layer in enumerate(layers) if isinstance(layer, StreamingSkipLSTM))
    return next(places, without)
