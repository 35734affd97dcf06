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
    """Both networks in sections that run one after the other, maybe side by side on successive pieces.

    Attributes:
        encoder: sections up to the LSTM, at the waveform's end of the network.
        encoder_end: the LSTM, and then what gives the latent; without an LSTM none of these.
        decoder_start: what comes before the LSTM and the LSTM, in one section; without an LSTM none.
        decoder: sections after the LSTM.
        codebooks: what searches for codes.
    """

    encoder: list[StreamingSequence]
    encoder_end: list[StreamingSequence]
    decoder_start: list[StreamingSequence]
    decoder: list[StreamingSequence]
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
    lstm, encoder_rest = _lstm_place(encoder, len(encoder))
    _, decoder_rest = _lstm_place(decoder, 0)
    encoder_end = [part for part in (encoder[lstm:encoder_rest], encoder[encoder_rest:]) if part]
    return PackedNetworks(
        encoder=_halves(encoder[:lstm]),
        encoder_end=[StreamingSequence.of(part) for part in encoder_end],
        decoder_start=[StreamingSequence.of(decoder[:decoder_rest])] if decoder_rest else [],
        decoder=_halves(decoder[decoder_rest:]),
        codebooks=PackedCodebooks(model.quantizer.codebooks),
    )


def _lstm_place(layers: list[StreamingLayer], without: int) -> tuple[int, int]:
    """Where the LSTM is, and where the layers after it begin; `without` twice if there is none."""
    for place, layer in enumerate(layers):
        if isinstance(layer, StreamingSkipLSTM):
            return place, place + 1
    return without, without


def _halves(layers: list[StreamingLayer]) -> list[StreamingSequence]:
    """Two sections of about the same work: every block of SEANet has about as much as the next."""
    middle = (len(layers) + 1) // 2
    return [StreamingSequence.of(layers[:middle]), StreamingSequence.of(layers[middle:])]
