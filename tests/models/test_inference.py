"""The form for inference against the model itself: the same codes but for near ties, samples but for rounding."""

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
import torch
from near_ties import num_ties
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from torch import Tensor

from encodec_lab.data.carried_audio import carried_recording
from encodec_lab.models import inference
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.inference import InferenceCodec
from encodec_lab.models.packed_networks import packed_decoder, packed_encoder
from encodec_lab.models.regrouping import sizes

SHORT_SEGMENTS = dataclasses.replace(SMALL_48KHZ, segment_s=0.1, segment_overlap=0.1)
CONFIGS = {
    "causal": SMALL_24KHZ,
    "segments": SHORT_SEGMENTS,
    "segments_of_a_causal_codec": dataclasses.replace(SMALL_24KHZ, segment_s=0.1, segment_overlap=0.02),
    "whole": dataclasses.replace(SMALL_24KHZ, causal=False),
    "normalized_whole": dataclasses.replace(SMALL_24KHZ, normalize=True),
    "without_lstm": dataclasses.replace(SMALL_24KHZ, num_lstm_layers=0),
    "dilated": dataclasses.replace(SMALL_24KHZ, num_residual_units=3),
    "other_strides": dataclasses.replace(SMALL_24KHZ, strides=(3, 1, 5, 20), num_filters=3, kernel_size=5),
}


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("num_samples", [1, 319, 320, 2241, 9_601, 30_001])
def test_equals_the_model_for_every_kind_of_codec_and_length(name, num_samples):
    model = random_codec(CONFIGS[name])
    model.set_target_bandwidth(model.target_bandwidths[0])
    wav = random_wav(model.channels, num_samples, seed=num_samples).expand(2, -1, -1)
    codec = InferenceCodec(model)
    expected, frames = model.encode(wav), codec.encode(wav)
    assert len(frames) == len(expected)
    for frame, (codes, scale) in zip(frames, expected, strict=True):
        assert torch.equal(frame.codes, codes)
        assert (frame.scale is None) == (scale is None)
        assert scale is None or torch.equal(frame.scale, scale)
    torch.testing.assert_close(codec.decode(expected), model.decode(expected), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def test_published_architectures_on_real_audio(config):
    """Ties are counted: at random weights most codes are decided by far less than in a trained codec."""
    model = random_codec(config)
    wav = carried_recording(config.sample_rate_hz, config.channels, 6.0)[None]
    codec = InferenceCodec(model)
    expected, frames = model.encode(wav), codec.encode(wav)
    if config.segment_s is None:
        assert num_ties(model, wav, frames[0].codes, expected[0].codes) <= 2
    else:
        segments = zip(frames, expected, wav.split(model.segment_stride, dim=-1), strict=True)
        differing = 0
        for start, (frame, (codes, _), _) in enumerate(segments):
            part = wav[..., start * model.segment_stride :][..., : model.segment_length]
            differing += num_ties(model, model.normalize_segment(part)[0], frame.codes, codes)
        assert differing <= 4
    torch.testing.assert_close(codec.decode(expected), model.decode(expected), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ["causal", "segments"])
@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_is_the_same_to_the_last_bit_however_it_comes(name, num_threads, monkeypatch):
    """In pieces of any length, on any number of threads."""
    monkeypatch.setattr(inference, "_PIECE_SAMPLES", 3_200)
    monkeypatch.setattr(inference, "_LSTM_FRAMES", 160)
    model = random_codec(CONFIGS[name])
    wav = random_wav(model.channels, 150_001)[None]
    whole = InferenceCodec(model)
    expected = list(whole.encode_pieces([wav]))
    samples = torch.cat(list(whole.decode_pieces(expected)), dim=-1)
    codec = InferenceCodec(model, num_threads)
    for size in (1_000, 40_000, 200_000):
        frames = list(codec.encode_pieces(wav.split(size, dim=-1)))
        assert len(frames) == len(expected)
        for frame, (codes, scale) in zip(frames, expected, strict=True):
            assert torch.equal(frame.codes, codes)
            assert scale is None or torch.equal(frame.scale, scale)
        assert torch.equal(torch.cat(list(codec.decode_pieces(frames)), dim=-1), samples)
    # Several frames of one stream may be divided anyhow.
    if model.segment_length is None:
        divided = [
            (part, None) for part in torch.cat([codes for codes, _ in expected], dim=-1).split(7, dim=-1)
        ]
        assert torch.equal(torch.cat(list(codec.decode_pieces(divided)), dim=-1), samples)


@torch.no_grad()
@pytest.mark.parametrize("name", ["causal", "segments"])
def test_memory_does_not_grow(name, monkeypatch):
    """Frames come out while pieces have not gone in, in both directions."""
    monkeypatch.setattr(inference, "_LSTM_FRAMES", 80)
    monkeypatch.setattr(inference, "_PIECE_SAMPLES", 3_200)
    model = random_codec(CONFIGS[name])
    size = model.sample_rate // 5
    num_taken = 0

    def pieces() -> Iterator[Tensor]:
        nonlocal num_taken
        for _ in range(60):
            num_taken += size
            yield torch.zeros(1, model.channels, size)

    codec, num_given = InferenceCodec(model), 0
    for piece in codec.decode_pieces(codec.encode_pieces(pieces())):
        num_given += piece.shape[-1]
        assert num_taken - num_given < 4 * model.sample_rate
    assert num_given >= num_taken == 60 * size


@torch.no_grad()
def test_prompt_decoding_begins_early_and_gives_the_same():
    model = random_codec(SMALL_24KHZ)
    codes = torch.randint(0, 64, (1, 3, 5_000))
    expected = InferenceCodec(model).decode([(codes, None)])
    num_taken = 0

    def frames() -> Iterator[tuple[Tensor, None]]:
        nonlocal num_taken
        for part in codes.split(75, dim=-1):
            num_taken += part.shape[-1]
            yield part, None

    pieces = InferenceCodec(model).decode_pieces(frames(), prompt=True)
    first = next(pieces)
    assert num_taken <= 375
    torch.testing.assert_close(torch.cat([first, *pieces], dim=-1), expected, atol=1e-5, rtol=0)
    assert list(itertools.islice(sizes(16, True), 5)) == [2, 4, 8, 8, 8]


@torch.no_grad()
def test_weights_are_those_of_the_model_now():
    model = random_codec(SMALL_24KHZ)
    wav = random_wav(1, 3_000)[None]
    before = InferenceCodec(model)
    assert packed_encoder(model) is packed_encoder(model)
    assert packed_decoder(model) is packed_decoder(model)
    for change in (
        lambda: model.encoder.model[0].conv.conv.weight_g.mul_(3.0),
        lambda: model.quantizer.codebooks[0].embed.mul_(-1.0),
        lambda: model.load_state_dict(random_codec(SMALL_24KHZ, seed=3).state_dict()),
    ):
        old = InferenceCodec(model).encode(wav)[0].codes
        change()
        fresh = InferenceCodec(model).encode(wav)[0].codes
        assert torch.equal(fresh, model.encode(wav)[0].codes) and not torch.equal(fresh, old)
    assert InferenceCodec(model).model is before.model is model


def test_misuse_is_refused():
    model = random_codec(SMALL_24KHZ)
    codec = InferenceCodec(model)
    with pytest.raises(ValueError, match=r"shape \[batch, 1, samples\]"):
        codec.encode(torch.zeros(1, 2, 100))
    with pytest.raises(ValueError, match="decodes one frame, got 0"):
        codec.decode([])
    frame = codec.encode(random_wav(1, 640)[None])[0]
    with pytest.raises(ValueError, match="decodes one frame, got 2"):
        codec.decode([frame, frame])
    with pytest.raises(ValueError, match="codes must be 0 to 63"):
        codec.decode([(torch.full((1, 3, 5), 64), None)])
    for config in (CONFIGS["whole"], SHORT_SEGMENTS):
        codec = InferenceCodec(random_codec(config))
        with pytest.raises(ValueError, match="frame"):
            list(codec.decode_pieces([]))
    with pytest.raises(ValueError, match="decodes one frame, got 2"):
        list(InferenceCodec(random_codec(CONFIGS["whole"])).decode_pieces([frame, frame]))
