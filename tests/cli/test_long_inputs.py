"""Long recordings go block by block, and come out as short ones do, which go in one piece."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from cli.commands import run
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec, random_wav
from torch import Tensor

from encodec_lab.bitstream import stream_reader, stream_writer
from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.cli import transcode
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models import inference, long_audio
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.long_audio import checked_blocks
from encodec_lab.models.registry import load_model


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Three seconds that must be resampled and mixed."""
    path = tmp_path / "a.wav"
    soundfile.write(path, random_wav(2, 3 * 32_000 + 17).T.numpy(), 32_000, subtype="FLOAT")
    return path


def _shorten(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Read and code in short pieces; returns the lengths of the blocks that will be read."""
    monkeypatch.setattr(transcode, "BLOCK_S", 0.13)
    monkeypatch.setattr(stream_writer, "WHOLE_S", 0.1)
    monkeypatch.setattr(inference, "_PIECE_SAMPLES", 4_800)
    monkeypatch.setattr(inference, "_LSTM_FRAMES", 80)
    lengths: list[int] = []

    def watched(model: EncodecModel, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        for block in checked_blocks(model, blocks):
            lengths.append(block.shape[-1])
            yield block

    monkeypatch.setattr(stream_writer, "checked_blocks", watched)
    monkeypatch.setattr(long_audio, "checked_blocks", watched)
    return lengths


@pytest.mark.parametrize("format", ["v0", "v1"])
@pytest.mark.parametrize("export", ["mono_export", "stereo_export"])
def test_blocks_give_what_the_whole_gives(
    audio: Path, format: str, export: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(export)
    arguments = ("-f", "--model", model, "--format", format)
    assert run(*arguments, audio, audio.with_name("whole.ecdc")) == 0
    assert run(*arguments, audio.with_name("whole.ecdc"), audio.with_name("whole.wav")) == 0
    lengths = _shorten(monkeypatch)
    assert run(*arguments, audio, audio.with_name("blocks.ecdc")) == 0
    assert len(lengths) > 15 and max(lengths) < 0.3 * load_model(model).sample_rate
    assert audio.with_name("blocks.ecdc").read_bytes() == audio.with_name("whole.ecdc").read_bytes()
    assert run(*arguments, audio, audio.with_name("both.wav")) == 0
    assert run(*arguments, audio.with_name("blocks.ecdc"), audio.with_name("blocks.wav")) == 0
    assert audio.with_name("both.wav").read_bytes() == audio.with_name("blocks.wav").read_bytes()
    whole, _ = read_whole(audio.with_name("whole.wav"))
    blocks, _ = read_whole(audio.with_name("blocks.wav"))
    assert whole.shape == blocks.shape and (whole - blocks).abs().max() < 1e-4


@pytest.mark.parametrize("config", [SMALL_24KHZ, SMALL_48KHZ], ids=lambda config: config.name)
@pytest.mark.parametrize("format", ["v0", "v1"])
def test_no_piece_is_long(config, format: str) -> None:  # type: ignore[no-untyped-def]
    """Neither what goes into the codec, nor what comes out, whatever the length of the recording."""
    import io

    codec = random_codec(config)
    wav = random_wav(codec.channels, 10 * codec.sample_rate + 7)
    data = compress(codec, wav, format=format)
    expected, _ = decompress(data, model=codec)
    pieces: list[Tensor] = list(stream_reader.StreamReader(io.BytesIO(data), model=codec).pieces())
    assert max(piece.shape[-1] for piece in pieces) <= 5.5 * codec.sample_rate
    joined = torch.cat(pieces, dim=-1)
    assert joined.shape == wav.shape and (joined - expected).abs().max() < 1e-5


def test_restoring_block_by_block(audio: Path, mono_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("-f", "--restore", "--model", mono_export, audio)
    assert run(*arguments, audio.with_name("whole.wav")) == 0
    _shorten(monkeypatch)
    assert run(*arguments, audio.with_name("blocks.wav")) == 0
    whole, rate = read_whole(audio.with_name("whole.wav"))
    blocks, _ = read_whole(audio.with_name("blocks.wav"))
    assert (rate, *whole.shape) == (32_000, 2, 3 * 32_000 + 17)
    assert whole.shape == blocks.shape and (whole - blocks).abs().max() < 1e-4
