"""Recordings in blocks against the same recordings whole."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from torch import Tensor

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.long_audio import decode_frames, encode_blocks

# Segments of a tenth of a second, so that short recordings have many.
SEGMENTED = dataclasses.replace(SMALL_48KHZ, num_filters=4, segment_s=0.1, segment_overlap=0.1)
STRIDE, LENGTH = 4320, 4800
SEGMENTED_LENGTHS = [
    1,
    319,
    STRIDE,
    STRIDE + 1,
    LENGTH,
    LENGTH + 1,
    2 * STRIDE + 200,
    5 * STRIDE + 481,
    50_000,
]


@pytest.fixture(scope="module")
def segmented() -> EncodecModel:
    model = random_codec(SEGMENTED)
    assert (model.segment_stride, model.segment_length) == (STRIDE, LENGTH)
    return model


@torch.no_grad()
@pytest.mark.parametrize("num_samples", SEGMENTED_LENGTHS)
@pytest.mark.parametrize("block_samples", [1000, STRIDE, 100_000])
def test_segments_across_blocks_are_those_of_the_whole(segmented, num_samples, block_samples):
    wav = random_wav(2, num_samples)
    expected = segmented.encode(wav[None])
    for batch_size, tolerance in ((None, 0.0), (3, 1e-5)):
        frames = list(encode_blocks(segmented, wav.split(block_samples, dim=-1), batch_size))
        assert len(frames) == len(expected)
        for frame, (codes, scale) in zip(frames, expected, strict=True):
            assert torch.equal(frame.codes, codes)
            torch.testing.assert_close(frame.scale, scale, atol=tolerance, rtol=tolerance)
        joined = torch.cat(list(decode_frames(segmented, frames, batch_size)), dim=-1)
        torch.testing.assert_close(joined, segmented.decode(expected)[0], atol=tolerance, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("num_samples", [1, 320, 2241, 30_001])
@pytest.mark.parametrize("block_samples", [400, 24_000])
def test_a_causal_codec_streams_through_the_blocks(num_samples, block_samples):
    model = random_codec(SMALL_24KHZ)
    model.set_target_bandwidth(1.8)
    wav = random_wav(1, num_samples)
    expected = model.encode(wav[None])
    frames = list(encode_blocks(model, wav.split(block_samples, dim=-1)))
    assert torch.equal(torch.cat([codes for codes, _ in frames], dim=-1), expected[0].codes)
    assert all(codes.shape[-1] and scale is None for codes, scale in frames)
    pieces = list(decode_frames(model, frames))
    torch.testing.assert_close(torch.cat(pieces, dim=-1), model.decode(expected)[0], atol=1e-5, rtol=0)
    assert all(piece.shape[-1] for piece in pieces)


@torch.no_grad()
def test_one_long_frame_of_a_causal_codec_is_decoded_in_pieces():
    model = random_codec(SMALL_24KHZ)
    frame = model.encode(random_wav(1, 320 * 1000)[None])[0]
    pieces = list(decode_frames(model, [frame]))
    assert max(piece.shape[-1] for piece in pieces) < 6 * 24_000
    torch.testing.assert_close(torch.cat(pieces, dim=-1), model.decode([frame])[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_codecs_that_can_do_neither_take_the_whole():
    for change in ({"causal": False}, {"normalize": True}):
        model = random_codec(dataclasses.replace(SMALL_24KHZ, **change))
        wav = random_wav(1, 5_000)
        frames = list(encode_blocks(model, wav.split(700, dim=-1)))
        assert len(frames) == 1 and torch.equal(frames[0].codes, model.encode(wav[None])[0].codes)
        assert torch.equal(next(decode_frames(model, frames)), model.decode(frames)[0])
        with pytest.raises(ValueError, match="one frame"):
            list(decode_frames(model, frames * 2))


@pytest.mark.parametrize("config", [SMALL_24KHZ, SEGMENTED, dataclasses.replace(SMALL_24KHZ, causal=False)])
def test_misuse_is_refused(config):
    model = random_codec(config)
    channels = config.channels
    for blocks in ([], [torch.zeros(channels, 0)] * 2):
        with pytest.raises(ValueError, match="no samples"):
            list(encode_blocks(model, blocks))
    for wrong in (torch.zeros(3 - channels, 10), torch.zeros(1, channels, 10)):
        with pytest.raises(ValueError, match=rf"\[{channels}, samples\]"):
            list(encode_blocks(model, [wrong]))
    with pytest.raises(ValueError, match="one frame"):
        list(decode_frames(model, []))


def test_batch_size_is_checked(segmented):
    with pytest.raises(ValueError, match="got 0"):
        next(encode_blocks(segmented, [torch.zeros(2, 10)], batch_size=0))


@pytest.mark.parametrize("config", [SMALL_24KHZ, SEGMENTED], ids=["causal", "segments"])
def test_work_goes_along_with_the_blocks(config):
    """What is kept does not grow: samples come out while others have not gone in."""
    model = random_codec(config)
    block_samples = config.sample_rate_hz // 5
    num_taken = 0

    def blocks() -> Iterator[Tensor]:
        nonlocal num_taken
        for _ in range(40):
            num_taken += block_samples
            yield torch.zeros(config.channels, block_samples)

    num_given = 0
    for piece in decode_frames(model, encode_blocks(model, blocks())):
        num_given += piece.shape[-1]
        assert num_taken - num_given < 3 * block_samples
    assert num_given >= num_taken == 40 * block_samples
