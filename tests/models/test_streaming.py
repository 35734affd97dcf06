"""The streaming encoder and decoder against `encode` and `decode` of the whole."""

import dataclasses
import time

import pytest
import torch
from near_ties import num_ties
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from torch import Tensor

from encodec_lab.data.carried_audio import carried_recording
from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.registry import load_model

HOP = 320
WAITING = 7  # frames that wait for each other at the start: the taps of the last convolution

# A sample, a frame, within and around frames, some at once, all.
CHUNK_SIZES = [1, 100, 320, 321, 1000, 2240, 100_000]
LENGTHS = [1, 2, 3, 4, 7, 8, 100, 319, 320, 321, 639, 641, 2239, 2240, 2241, 5003]


def random_lengths(total: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(
            int(
                torch.randint(
                    0, 2 ** int(torch.randint(1, 12, (), generator=generator)), (), generator=generator
                )
            )
        )
    sizes[-1] -= sum(sizes) - total
    return sizes


def stream(coder, x: Tensor, sizes: int | list[int]) -> Tensor:
    pieces = [coder.push(piece) for piece in x.split(sizes, dim=-1)]
    return torch.cat([*pieces, coder.flush()], dim=-1)


@pytest.fixture(scope="module")
def model() -> EncodecModel:
    return random_codec(SMALL_24KHZ)


@torch.no_grad()
@pytest.mark.parametrize("num_samples", LENGTHS)
def test_equals_offline_for_every_length_and_chunking(model, num_samples):
    wav = random_wav(2, num_samples, seed=num_samples).unsqueeze(1)
    frames = model.encode(wav)
    decoded = model.decode(frames)
    sizes = [size for size in CHUNK_SIZES if num_samples < 50 * size]
    for size in [*sizes, random_lengths(num_samples, 0), random_lengths(num_samples, 1)]:
        assert num_ties(model, wav, stream(model.streaming_encoder(), wav, size), frames[0].codes) == 0
        torch.testing.assert_close(
            stream(model.streaming_decoder(), frames[0].codes, 1), decoded, atol=1e-5, rtol=0
        )
    num_frames = frames[0].codes.shape[-1]
    for size in (2, 6, 7, 8, num_frames):
        samples = stream(model.streaming_decoder(), frames[0].codes, size)
        torch.testing.assert_close(samples, decoded, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("strides", [(2, 3), (8,), (1, 2)])
def test_other_architectures(strides):
    config = dataclasses.replace(
        SMALL_24KHZ, strides=strides, num_residual_units=3, last_kernel_size=3, num_lstm_layers=0,
        sample_rate_hz=1000, bandwidths=(8.0,), channels=2,
    )  # fmt: skip
    model = random_codec(config)
    for num_samples in (1, 5, 6, 20, 21, 300):
        wav = random_wav(2, num_samples)[None]
        codes = stream(model.streaming_encoder(), wav, 4)
        assert num_ties(model, wav, codes, model.encode(wav)[0].codes) == 0
        expected = model.decode([(codes, None)])
        torch.testing.assert_close(stream(model.streaming_decoder(), codes, 3), expected, atol=1e-5, rtol=0)


def test_delay_of_the_encoder(model):
    """Seven frames come together with the last sample of the seventh, then each with its own last sample."""
    encoder = model.streaming_encoder()
    wav = random_wav(1, 12 * HOP)[None]
    num_frames = 0
    for stop in range(10, 12 * HOP + 1, 10):
        num_frames += encoder.push(wav[..., stop - 10 : stop]).shape[-1]
        assert num_frames == (0 if stop < WAITING * HOP else stop // HOP)
    assert encoder.flush().shape[-1] == 0


def test_delay_of_the_decoder(model):
    """Seven frames give their samples together, then each frame its own at once."""
    decoder = model.streaming_decoder()
    codes = torch.zeros(1, 4, 12, dtype=torch.long)
    got = [decoder.push(frame).shape[-1] for frame in codes.split(1, dim=-1)]
    assert got == [0] * (WAITING - 1) + [WAITING * HOP] + [HOP] * 5
    assert decoder.flush().shape[-1] == 0


def test_bandwidth_is_that_of_the_beginning(model):
    model.set_target_bandwidth(1.8)
    encoder = model.streaming_encoder()
    model.set_target_bandwidth(6.0)
    wav = random_wav(1, 9 * HOP)[None]
    codes = torch.cat([encoder.push(wav), encoder.flush()], dim=-1)
    assert torch.equal(codes, model.encode(wav)[0].codes[:, : model.num_codebooks_for(1.8)])


def test_streams_do_not_disturb_each_other(model):
    wav = random_wav(1, 20 * HOP)[None]
    encoders = [model.streaming_encoder() for _ in range(2)]
    ours, theirs = [], []
    for piece in wav.split(700, dim=-1):
        ours.append(encoders[0].push(piece))
        theirs.append(encoders[1].push(-piece))
    for encoder, pieces, sign in zip(encoders, (ours, theirs), (1, -1), strict=True):
        codes = torch.cat([*pieces, encoder.flush()], dim=-1)
        assert num_ties(model, sign * wav, codes, model.encode(sign * wav)[0].codes) == 0


def test_no_gradients_and_any_gradient_mode(model):
    wav = random_wav(1, 9 * HOP)[None]
    expected = model.encode(wav)[0].codes
    encoder, decoder = model.streaming_encoder(), model.streaming_decoder()
    with torch.inference_mode():
        first = encoder.push(wav[..., : 8 * HOP])
        decoder.push(first)
    codes = encoder.push(wav[..., 8 * HOP :])
    assert torch.equal(torch.cat([first, codes], dim=-1), expected)
    assert not decoder.push(codes).requires_grad


def test_nothing_pushed_gives_nothing(model):
    assert model.streaming_encoder().flush().shape == (0, model.config.num_codebooks, 0)
    assert model.streaming_decoder().flush().shape == (0, 1, 0)
    encoder, decoder = model.streaming_encoder(), model.streaming_decoder()
    assert (
        encoder.push(torch.zeros(3, 1, 0)).shape
        == encoder.flush().shape
        == (3, model.config.num_codebooks, 0)
    )
    assert decoder.push(torch.zeros(3, 10, 0, dtype=torch.long)).shape == decoder.flush().shape == (3, 1, 0)


def test_misuse_is_refused(model):
    encoder, decoder = model.streaming_encoder(), model.streaming_decoder()
    for wrong in (torch.zeros(1, 2, 10), torch.zeros(1, 10)):
        with pytest.raises(ValueError, match=r"\[batch, 1, samples\]"):
            encoder.push(wrong)
    with pytest.raises(ValueError, match="codes must be 0 to 63, got 0 to 64"):
        model.streaming_decoder().push(torch.tensor([[[0, 64]]]))
    with pytest.raises(ValueError, match=r"\[1, 10\]"):
        decoder.push(torch.zeros(1, 10, dtype=torch.long))
    for coder, piece in ((encoder, torch.zeros(2, 1, 10)), (decoder, torch.zeros(2, 4, 1, dtype=torch.long))):
        coder.push(piece)
        with pytest.raises(ValueError, match="batch of 2, got one of 1"):
            coder.push(piece[:1])
        coder.flush()
        for again in (coder.flush, lambda coder=coder, piece=piece: coder.push(piece)):
            with pytest.raises(ValueError, match="ended by flush"):
                again()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SMALL_48KHZ, "not causal"),
        (dataclasses.replace(SMALL_24KHZ, segment_s=1.0), "segments"),
        (dataclasses.replace(SMALL_24KHZ, normalize=True), "RMS"),
    ],
)
def test_codecs_that_cannot_stream_are_refused(config, reason):
    model = random_codec(config)
    for make in (model.streaming_encoder, model.streaming_decoder):
        with pytest.raises(ValueError, match=reason):
            make()


@torch.no_grad()
def test_the_published_architecture_frame_by_frame_in_real_time():
    """Processor time of one thread, the least of some pushes, so that other work on the machine matters little."""
    model = random_codec(ENCODEC_24KHZ)
    model.set_target_bandwidth(6.0)
    wav = random_wav(1, 24_000)[None]
    encoder, decoder = model.streaming_encoder(), model.streaming_decoder()
    codes, samples, encoding_s, decoding_s = [], [], [], []
    for piece in wav.split(HOP, dim=-1):
        times = [time.thread_time()]
        codes.append(encoder.push(piece))
        times.append(time.thread_time())
        samples.append(decoder.push(codes[-1]))
        times.append(time.thread_time())
        encoding_s.append(times[1] - times[0])
        decoding_s.append(times[2] - times[1])
    all_codes = torch.cat([*codes, encoder.flush()], dim=-1)
    assert num_ties(model, wav, all_codes, model.encode(wav)[0].codes) <= 1
    expected = model.decode([(all_codes, None)])
    torch.testing.assert_close(torch.cat([*samples, decoder.flush()], dim=-1), expected, atol=1e-5, rtol=0)
    assert min(encoding_s[WAITING:]) < HOP / 24_000 > min(decoding_s[WAITING:])


@torch.no_grad()
def test_the_bundled_codec_streams() -> None:
    """Its encoder multiplies by hundreds, and rounding with it."""
    model = load_model("lab_24khz")
    model.set_target_bandwidth(12.0)
    wav = carried_recording(model.sample_rate, model.channels, 3.0)[None]
    expected = model.encode(wav)[0]
    codes = stream(model.streaming_encoder(), wav, 5000)
    assert num_ties(model, wav, codes, expected.codes) <= 1
    decoded = stream(model.streaming_decoder(), expected.codes, 3)
    torch.testing.assert_close(decoded, model.decode([expected]), atol=1e-5, rtol=0)
