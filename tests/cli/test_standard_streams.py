"""`-` for standard input and output, in every direction."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch
from cli.commands import BinaryCapture, Capture, fails, piped, run
from small_codec import random_codec, random_wav

from encodec_lab.bitstream.compress import compress, decompress
from encodec_lab.bitstream.stream_info import inspect_stream
from encodec_lab.cli import model_choice
from encodec_lab.cli.standard_streams import StandardInput
from encodec_lab.data.audio_file import read_whole
from encodec_lab.models.config import ENCODEC_24KHZ
from encodec_lab.models.registry import load_model


def _samples(wav_file: bytes) -> torch.Tensor:
    return torch.from_numpy(soundfile.read(io.BytesIO(wav_file), dtype="float32", always_2d=True)[0].T)


def test_every_direction(recording: Path, mono_export: Path, capsysbinary: BinaryCapture) -> None:
    """What comes and goes through pipes is what comes from and goes to files."""
    with_model = ("--model", mono_export)
    compressed, decompressed = recording.with_name("a.ecdc"), recording.with_name("a.wav")
    assert run(*with_model, recording, compressed) == 0
    assert run(*with_model, compressed, decompressed) == 0
    audio, stream, wav = (path.read_bytes() for path in (recording, compressed, decompressed))

    assert piped(capsysbinary, audio, *with_model, "-", "-") == stream
    assert piped(capsysbinary, audio, *with_model, "-") == stream
    assert piped(capsysbinary, b"", *with_model, recording, "-") == stream
    assert piped(capsysbinary, stream, *with_model, "-", "-") == wav
    assert piped(capsysbinary, stream, *with_model, "-") == wav
    assert piped(capsysbinary, b"", *with_model, compressed, "-") == wav
    assert piped(capsysbinary, stream, *with_model, "-r", "-") == wav  # quiet enough as it is

    for content, name, expected in (
        (audio, "piped.ecdc", stream),
        (audio, "both.wav", wav),
        (stream, "piped.wav", wav),
    ):
        assert piped(capsysbinary, content, *with_model, "-", recording.with_name(name)) == b""
        assert recording.with_name(name).read_bytes() == expected
    assert len(list(recording.parent.iterdir())) == 6


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".opus"])
def test_other_audio_from_a_pipe(
    tmp_path: Path, mono_export: Path, suffix: str, capsysbinary: BinaryCapture
) -> None:
    path = tmp_path / f"audio{suffix}"
    layout = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    soundfile.write(path, random_wav(2, 12_000).T.numpy(), 48_000, **layout)
    stream = piped(capsysbinary, path.read_bytes(), "--model", mono_export, "-")
    info = inspect_stream(io.BytesIO(stream))
    assert (info.source_sample_rate_hz, info.source_channels, info.damage) == (48_000, 2, None)
    decoded, _ = decompress(stream, model=load_model(mono_export))
    assert run("--model", mono_export, path, tmp_path / "a.ecdc") == 0
    assert torch.equal(
        decoded, decompress((tmp_path / "a.ecdc").read_bytes(), model=load_model(mono_export))[0]
    )


def test_published_models_write_v1_to_standard_output(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: BinaryCapture
) -> None:
    """And v0 to files, and wherever v0 is asked for."""
    codec = random_codec(ENCODEC_24KHZ)
    monkeypatch.setattr(model_choice, "load_model", lambda name: codec)
    monkeypatch.setattr(model_choice, "load_stream_model", lambda name, identity: codec)
    codec.set_target_bandwidth(6.0)
    v0 = compress(codec, read_whole(recording)[0])
    v1 = piped(capsysbinary, recording.read_bytes(), "-")
    assert inspect_stream(io.BytesIO(v1)).format == "v1"
    assert piped(capsysbinary, b"", "--format", "v0", recording, "-") == v0
    assert run(recording) == 0
    assert recording.with_name("take.one.ecdc").read_bytes() == v0
    wav = piped(capsysbinary, v0, "-")
    assert (_samples(wav) - decompress(v0, model=codec)[0].clamp(-0.99, 0.99)).abs().max() < 1e-4
    assert (_samples(piped(capsysbinary, v1, "-")) - _samples(wav)).abs().max() < 1e-4


def test_what_standard_input_cannot_be(
    mono_export: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content, arguments, message in (
        (b"", ("-",), "standard input: cannot be read as audio"),
        (b"noise" * 99, ("-",), "standard input: cannot be read as audio"),
        (b"ECDC\1", ("-",), "standard input: the stream ends at byte 5"),
        (b"ECDC\1", ("-", tmp_path / "a.ecdc"), "must end in .wav, because the input is compressed"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert message in fails(capsys, "--model", mono_export, *arguments)
    assert not list(tmp_path.glob("*.*"))


def test_standard_input_is_read_once_from_its_start() -> None:
    stdin = StandardInput(io.BytesIO(b"ECDC and more"))
    assert stdin.is_compressed() and stdin.is_compressed()
    assert (stdin.read(2), stdin.read(4), stdin.read(), stdin.read(), stdin.read(1)) == (
        b"EC", b"DC a", b"nd more", b"", b"",
    )  # fmt: skip
    assert StandardInput(io.BytesIO(b"RIFF....")).read() == b"RIFF...."
    assert not StandardInput(io.BytesIO(b"EC")).is_compressed()


def test_a_closed_standard_output_is_one_line(recording: Path, mono_export: Path) -> None:
    command = [sys.executable, "-m", "encodec_lab", "--model", str(mono_export), str(recording), "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait() == 1
    assert err == b"encodec: standard output was closed before all was written\n"


def test_all_is_in_the_pipe_when_the_process_ends(recording: Path, mono_export: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "encodec_lab", "--model", str(mono_export)]
    piped = subprocess.run([*command, str(recording), "-"], capture_output=True)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert run("--model", mono_export, recording, tmp_path / "a.ecdc") == 0
    assert piped.stdout == (tmp_path / "a.ecdc").read_bytes()
    (tmp_path / "b.ecdc").write_bytes(piped.stdout[:-1])
    cut = subprocess.run([*command, str(tmp_path / "b.ecdc"), "-"], capture_output=True, text=True)
    assert cut.returncode == 1 and cut.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts the threads of another process")
def test_an_interrupt_ends_the_wait_for_input_that_does_not_come(mono_export: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", random_wav(1, 60 * 24_000)[0], 24_000)
    assert run("--model", mono_export, tmp_path / "a.wav") == 0
    options = ["--model", str(mono_export), "--jobs", "2"]
    command = [sys.executable, "-m", "encodec_lab", *options, "-", str(tmp_path / "b.wav")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        try:
            stream = (tmp_path / "a.ecdc").read_bytes()
            process.stdin.write(stream[: len(stream) * 3 // 4])
            process.stdin.flush()
            deadline_s = time.monotonic() + 60
            while len(os.listdir(f"/proc/{process.pid}/task")) < 3:
                assert process.poll() is None and time.monotonic() < deadline_s
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
        assert process.stderr.read() == b"encodec: interrupted\n"
    assert not (tmp_path / "b.wav").exists()
