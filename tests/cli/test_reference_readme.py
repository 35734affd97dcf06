"""Every sentence of the reference's README on its command and its Python interface, each quoted where it is tested.

Two are ours to differ in: the import name, and the name of a decompressed file, where the reference's code does not do
what its README says either. The weights are random, in files as Meta's: nothing here hangs on how they sound.
"""

import functools
import hashlib
import io
import runpy
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from cli.commands import Capture, fails, run
from small_codec import random_codec, random_wav
from small_lm import random_lm
from weights_server import WeightsServer

from encodec_lab import EncodecModel, compress, convert_audio, decompress
from encodec_lab.bitstream import stream_reader
from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.bitstream.v0 import StreamHeader, read_header
from encodec_lab.cli import main as command
from encodec_lab.cli import model_choice
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models import pretrained
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.inference import InferenceCodec
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, ENCODEC_LM_48KHZ
from encodec_lab.models.pretrained import PUBLISHED_FILES
from encodec_lab.models.registry import load_model


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeightsServer]:
    """Four files as Meta's on a server in Meta's place, an empty cache; what has been loaded is kept for the module."""
    modules = {
        "encodec_24khz": random_codec(ENCODEC_24KHZ),
        "encodec_48khz": random_codec(ENCODEC_48KHZ),
        "encodec_lm_24khz": random_lm(ENCODEC_LM_24KHZ),
        "encodec_lm_48khz": random_lm(ENCODEC_LM_48KHZ),
    }
    with pytest.MonkeyPatch.context() as patched, WeightsServer() as server:
        patched.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        patched.setattr(torch.hub, "_hub_dir", None)
        patched.setenv("no_proxy", "127.0.0.1")
        patched.setattr(pretrained, "ROOT_URL", server.url)
        for name, module in modules.items():
            buffer = io.BytesIO()
            torch.save(module.state_dict(), buffer)
            file_name = f"{name}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.th"
            patched.setitem(PUBLISHED_FILES, name, file_name)
            server.files[file_name] = buffer.getvalue()
        patched.setattr(model_choice, "load_model", functools.cache(load_model))
        patched.setattr(stream_reader, "load_named_model", model_choice.load_model)
        yield server


@pytest.fixture(autouse=True)
def _published(published: WeightsServer) -> None:
    """All tests here have the published models."""


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A fifth of a second that fits the 24 kHz model."""
    path = tmp_path / "song.wav"
    soundfile.write(path, random_wav(1, 4_800).T.numpy(), 24_000)
    return path


def _header(path: Path) -> StreamHeader:
    source = ByteSource(io.BytesIO(path.read_bytes()))
    assert read_version(source) == 0
    return read_header(source)


def test_download() -> None:
    """The models will be automatically downloaded on first use using Torch Hub.

    For more information on where those models are stored, or how to customize the storage location, checkout their
    documentation.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"  # TORCH_HOME, as that documentation says
    assert not cache.exists()
    model_choice.load_model("encodec_24khz")
    assert [path.name for path in cache.iterdir()] == [PUBLISHED_FILES["encodec_24khz"]]


def test_models() -> None:
    """A causal model operating at 24 kHz on monophonic audio trained on a variety of audio data.

    A non-causal model operationg at 48 kHz on stereophonic audio trained on music-only data.
    """
    causal, other = model_choice.load_model("encodec_24khz"), model_choice.load_model("encodec_48khz")
    assert (causal.sample_rate, causal.channels) == (24_000, 1)
    assert (other.sample_rate, other.channels) == (48_000, 2)
    for model, is_causal in ((causal, True), (other, False)):
        wav = random_wav(model.channels, 9_600)[None]
        changed = wav.clone()
        changed[..., 4_800:] = 0
        with torch.no_grad():
            first, second = (model.encode(w)[0].codes[..., :10] for w in (wav, changed))
        if is_causal:
            assert torch.equal(first, second)
        else:
            assert not torch.equal(first, second)


@pytest.mark.parametrize(("options", "rate_hz"), [((), 24_000), (("--hq",), 48_000)], ids=["24khz", "hq"])
def test_bandwidths(audio: Path, capsys: Capture, options: tuple[str, ...], rate_hz: int) -> None:
    """The 24 kHz model can compress to 1.5, 3, 6, 12 or 24 kbps, while the 48 kHz model support 3, 6, 12 and 24 kbps.

    Compresses it with EnCodec to the target bandwidth (default is 6 kbps, can be either 1.5, 3, 6, 12 or 24).
    """
    compressed = audio.with_suffix(".ecdc")
    num_codebooks = {}
    for kbps in (3, 6, 12, 24) if options else (1.5, 3, 6, 12, 24):
        assert run("-f", "-b", kbps, *options, audio) == 0
        num_codebooks[kbps] = _header(compressed).num_codebooks
    frame_rate_hz = rate_hz // 320
    assert {kbps: count * 10 * frame_rate_hz / 1000 for kbps, count in num_codebooks.items()} == {
        kbps: kbps for kbps in num_codebooks
    }
    assert run("-f", *options, audio) == 0
    assert _header(compressed).num_codebooks == num_codebooks[6]
    assert "choose one of" in fails(capsys, "-f", "-b", 2, *options, audio)
    if options:
        assert "choose one of 3, 6, 12, 24" in fails(capsys, "-f", "-b", 1.5, *options, audio)


def test_command(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """You can then use the EnCodec command, either as `python3 -m encodec [...]` or `encodec [...]`."""
    # The reference package, on the path of other tests, has one of this name.
    scripts = entry_points(group="console_scripts", name="encodec")
    (script,) = [script for script in scripts if script.value.startswith("encodec_lab")]
    assert script.load() is command.main
    monkeypatch.setattr(sys, "argv", ["encodec", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("encodec_lab", run_name="__main__")
    assert ended.value.code == 0
    assert "usage: encodec" in capsys.readouterr().out


def test_compression_interface() -> None:
    """If you want to directly use the compression API, checkout `encodec.compress` and `encodec.model`."""
    model = model_choice.load_model("encodec_24khz")
    wav = random_wav(1, 960)
    with torch.no_grad():
        expected = model(wav[None])[0]
    torch.testing.assert_close(decompress(compress(model, wav), model=model)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_any_audio_file(tmp_path: Path, suffix: str) -> None:
    """Given any audio file supported by torchaudio on your platform, compresses it with EnCodec."""
    path = tmp_path / f"song{suffix}"
    soundfile.write(path, random_wav(1, 4_800).T.numpy(), 24_000)
    assert run(path) == 0
    assert _header(path.with_suffix(".ecdc")).num_samples == pytest.approx(4_800, rel=0.5)


def test_output_suffix(audio: Path, capsys: Capture) -> None:
    """OUTPUT_FILE must end in .ecdc."""
    assert "must end in .ecdc" in fails(capsys, audio, audio.with_name("song.out"))
    assert run(audio, audio.with_name("other.ecdc")) == 0


def test_inferred_output(audio: Path) -> None:
    """If not provided it will be the same as INPUT_FILE, replacing the extension with .ecdc."""
    assert run(audio) == 0
    assert sorted(path.name for path in audio.parent.iterdir()) == ["song.ecdc", "song.wav"]


def test_hq(audio: Path) -> None:
    """In order to use the model operating at 48 kHz on stereophonic audio, use the --hq flag."""
    assert run("--hq", audio) == 0
    assert _header(audio.with_suffix(".ecdc")).model_name == "encodec_48khz"


@pytest.mark.parametrize("made", ["song.ecdc", "song_decompressed.wav"])
def test_force(audio: Path, capsys: Capture, made: str) -> None:
    """The -f flag is used to force overwrite an existing output file.

    Use the -f file to force overwrite the output file (be carefull if compress then decompress, not to overwrite your
    original file !).
    """
    if made.endswith(".wav"):
        assert run(audio) == 0
        audio = audio.with_suffix(".ecdc")
    output = audio.with_name(made)
    output.write_text("precious")
    assert "-f / --force" in fails(capsys, audio)
    assert output.read_text() == "precious"
    assert run("-f", audio) == 0
    assert output.read_bytes()[:4] in (b"ECDC", b"RIFF")


def test_language_model(audio: Path) -> None:
    """Use the --lm flag to use the pretrained language model with entropy coding (expect it to be much slower).

    We also provide a pre-trained language model for each of the models.
    """
    assert run("--lm", "-b", 1.5, audio) == 0
    compressed = audio.with_suffix(".ecdc")
    assert _header(compressed).uses_lm
    assert run(compressed, audio.with_name("lm.wav")) == 0
    assert run("-b", 1.5, audio, audio.with_name("plain.wav")) == 0
    assert audio.with_name("lm.wav").read_bytes() == audio.with_name("plain.wav").read_bytes()
    assert model_choice.load_model("encodec_48khz").get_lm_model().config == ENCODEC_LM_48KHZ


@pytest.mark.parametrize("options", [(), ("--hq",)], ids=["24khz", "hq"])
def test_conversion(tmp_path: Path, options: tuple[str, ...]) -> None:
    """If the sample rate or number of channels of the input doesn’t match that of the model, the command will
    automatically resample / reduce channels as needed.
    """
    rate_hz, channels = (48_000, 2) if options else (24_000, 1)
    path = tmp_path / "song.wav"
    for given_hz, given_channels in ((44_100, 2), (8_000, 1), (48_000, 2)):
        soundfile.write(path, random_wav(given_channels, given_hz // 5).T.numpy(), given_hz)
        assert run("-f", *options, path, tmp_path / "out.wav") == 0
        info = soundfile.info(tmp_path / "out.wav")
        assert (info.samplerate, info.channels, info.frames) == (rate_hz, channels, rate_hz // 5)


def test_decompression(audio: Path) -> None:
    """Given a .ecdc file previously generated, this will decode it to the given output wav file."""
    assert run(audio) == 0
    compressed, output = audio.with_suffix(".ecdc"), audio.with_name("given.wav")
    assert run(compressed, output) == 0
    expected, rate_hz = decompress(compressed.read_bytes(), model=model_choice.load_model("encodec_24khz"))
    found, found_hz = read_whole(output)
    assert rate_hz == found_hz
    assert torch.allclose(found, expected.clamp(-0.99, 0.99), atol=1e-4)


def test_inferred_decompressed_output(audio: Path) -> None:
    """If not provided, the output will default to the input with the .wav extension.

    With -s ''; otherwise it is `_decompressed.wav`, as the reference's code has it.
    """
    assert run(audio) == 0
    audio.unlink()
    assert run("-s", "", audio.with_suffix(".ecdc")) == 0
    assert audio.exists()
    assert run(audio.with_suffix(".ecdc")) == 0
    assert audio.with_name("song_decompressed.wav").read_bytes() == audio.read_bytes()


def test_rescale(audio: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the -r flag if you experience clipping, this will rescale the output file to avoid it."""
    decode = InferenceCodec.decode_pieces

    def loudly(codec: InferenceCodec, *arguments: Any, **settings: Any) -> Iterator[torch.Tensor]:
        return (100 * torch.tanh(piece) for piece in decode(codec, *arguments, **settings))

    monkeypatch.setattr(InferenceCodec, "decode_pieces", loudly)
    loud, rescaled = audio.with_name("loud.wav"), audio.with_name("rescaled.wav")
    assert run(audio, loud) == 0
    assert "clipping" in capsys.readouterr().err
    assert run("-r", audio, rescaled) == 0
    assert capsys.readouterr().err == ""
    (clipped, _), (whole, _) = read_whole(loud), read_whole(rescaled)
    assert (clipped.abs() > 0.989).sum() > 1 and (whole.abs() > 0.989).sum() == 1
    assert torch.allclose((whole / whole.abs().max() * 0.99), whole, atol=1e-3)


def test_both(audio: Path) -> None:
    """When OUTPUT_WAV_FILE has the .wav extension (as opposed to .ecdc), the encodec command will instead compress and
    immediately decompress without storing the intermediate .ecdc file.
    """
    assert run("-b", 3, "-r", audio, audio.with_name("both.wav")) == 0
    assert sorted(path.name for path in audio.parent.iterdir()) == ["both.wav", "song.wav"]
    assert run("-b", 3, audio) == 0
    assert run("-r", audio.with_suffix(".ecdc")) == 0
    assert audio.with_name("song_decompressed.wav").read_bytes() == audio.with_name("both.wav").read_bytes()


def test_discrete_representations(audio: Path) -> None:
    """The EnCodec model can also be used to extract discrete representations from the audio waveform."""
    model = EncodecModel.encodec_model_24khz()
    wav, sr = read_whole(audio)  # the README has torchaudio.load here, which gives the same
    wav = wav.unsqueeze(0)
    wav = convert_audio(wav, sr, model.sample_rate, model.channels)
    encoded_frames = model.encode(wav)
    codes = torch.cat([encoded[0] for encoded in encoded_frames], dim=-1)  # [B, n_q, T]
    assert codes.shape == (1, 32, 15)
    assert not codes.is_floating_point() and codes.min() >= 0 and codes.max() < 1024


def test_segments() -> None:
    """Note that the 48 kHz model processes the audio by chunks of 1 seconds, with an overlap of 1%, and renormalizes
    the audio to have unit scale. For this model, the output of `model.encode(wav)` would a list (for each frame of 1
    second) of a tuple `(codes, scale)` with `scale` a scalar tensor.
    """
    model = model_choice.load_model("encodec_48khz")
    model.set_target_bandwidth(3.0)
    wav = random_wav(2, 100_000)[None]
    with torch.no_grad():
        frames = model.encode(wav)
    assert isinstance(frames, list) and len(frames) == 3
    for number, (codes, scale) in enumerate(frames):
        part = wav[..., 47_520 * number : 47_520 * number + 48_000]
        assert codes.shape == (1, 2, -(-part.shape[-1] // 320))
        assert scale.numel() == 1
        assert scale.item() == pytest.approx(part.mean(dim=1).pow(2).mean().sqrt().item(), rel=1e-4)
