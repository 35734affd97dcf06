"""`--info`: what streams say about themselves."""

import io
import json
import struct
from pathlib import Path

import pytest
from cli.commands import Capture, fails, run

from encodec_lab.bitstream.byte_source import ByteSource, read_version
from encodec_lab.bitstream.v1_layout import read_header
from encodec_lab.models.identity import short_identity
from encodec_lab.models.registry import load_model


@pytest.fixture
def streams(recording: Path, mono_export: Path) -> tuple[Path, Path]:
    """Of the same recording in v0 and v1, at 1.8 kbps."""
    paths = recording.with_name("a0.ecdc"), recording.with_name("a1.ecdc")
    for path, format in zip(paths, ("v0", "v1"), strict=True):
        assert run("--model", mono_export, "-b", "1.8", "--format", format, recording, path) == 0
    return paths


def _v0(**fields: object) -> bytes:
    text = json.dumps({"m": "encodec_24khz", "al": 24_000, "nc": 8, "lm": False} | fields).encode()
    return b"ECDC" + struct.pack("!BI", 0, len(text)) + text


def test_for_people(streams: tuple[Path, Path], mono_export: Path, capsys: Capture) -> None:
    identity = short_identity(load_model(mono_export)).hex()
    v0, v1 = streams
    assert run("--info", *streams) == 0
    assert capsys.readouterr() == (
        f"{v0}: .ecdc v0\n"
        "  model      small_24khz\n"
        "  codebooks  4, language model: none\n"
        "  duration   unknown\n"
        f"  size       {v0.stat().st_size} bytes\n"
        f"{v1}: .ecdc v1\n"
        f"  model      small_24khz ({identity})\n"
        "  codebooks  4, language model: none\n"
        "  duration   0.25 s\n"
        f"  size       {v1.stat().st_size} bytes, {v1.stat().st_size * 8 / 250:.2f} kbps\n"
        "  records    1, all intact\n"
        "  source     24000 Hz, 1 channels, 6000 samples\n",
        "",
    )


def test_for_programs(streams: tuple[Path, Path], mono_export: Path, capsys: Capture) -> None:
    assert run("--info", "--json", *streams) == 0
    out, err = capsys.readouterr()
    v0, v1 = map(json.loads, out.splitlines())
    assert err == ""
    assert v0 == dict.fromkeys(v1) | {
        "path": str(streams[0]),
        "format": "v0",
        "model": "small_24khz",
        "uses_lm": False,
        "num_codebooks": 4,
        "num_samples": 6_000,
        "num_bytes": streams[0].stat().st_size,
    }
    assert v1 == {
        "path": str(streams[1]),
        "format": "v1",
        "model": "small_24khz",
        "model_identity": short_identity(load_model(mono_export)).hex(),
        "uses_lm": False,
        "lm_identity": None,
        "num_codebooks": 4,
        "sample_rate_hz": 24_000,
        "num_samples": 6_000,
        "duration_s": 0.25,
        "num_bytes": streams[1].stat().st_size,
        "kbps": pytest.approx(streams[1].stat().st_size * 8 / 250),
        "num_records": 1,
        "source_sample_rate_hz": 24_000,
        "source_channels": 1,
        "source_samples": 6_000,
        "damage": None,
    }


def test_the_rate_of_a_published_model_is_known(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.ecdc"
    stream = _v0() + bytes(750)
    path.write_bytes(stream)
    assert run("--info", path) == 0
    size = f"  duration   1.00 s\n  size       {len(stream)} bytes, {len(stream) * 8 / 1000:.2f} kbps\n"
    assert size in capsys.readouterr().out


@pytest.mark.parametrize(("change", "words"), [(-1, "ends too soon"), (1, "goes on after its end")])
def test_a_stream_of_a_published_model_that_is_cut(
    change: int, words: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "a.ecdc"
    path.write_bytes(_v0() + bytes(750 + change))
    assert run("--info", path) == 1
    assert words in capsys.readouterr().err


def test_standard_input(streams: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(streams[1].read_bytes())))
    assert run("--info", "-") == 0
    assert capsys.readouterr().out.startswith("standard input: .ecdc v1\n")


@pytest.mark.parametrize("json_option", [(), ("--json",)])
def test_damage(streams: tuple[Path, Path], capsys: Capture, json_option: tuple[str, ...]) -> None:
    """Is told on standard error too, and makes the status 1; what can be read is printed."""
    path = streams[1]
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    assert run("--info", *json_option, *streams) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"encodec: {path}: damaged: record 0, bytes ") and err.count("\n") == 1
    if json_option:
        assert json.loads(out.splitlines()[1])["damage"] in err
        assert json.loads(out.splitlines()[0])["damage"] is None
    else:
        assert "  records    0, damaged after these\n" in out
    path.write_bytes(content[:-20])
    assert run("--info", path) == 1
    assert "the stream ends at byte" in capsys.readouterr().err


def test_what_is_no_stream(
    recording: Path, streams: tuple[Path, Path], capsys: Capture, tmp_path: Path
) -> None:
    assert "take.one.wav: not an .ecdc stream" in fails(capsys, "--info", recording)
    assert "nowhere.ecdc: does not exist" in fails(capsys, "--info", tmp_path / "nowhere.ecdc")
    assert "is a folder; name its files" in fails(capsys, "--info", tmp_path)
    streams[0].write_bytes(_v0(al=10**400))
    assert "no recording is that long" in fails(capsys, "--info", streams[0])
    source = ByteSource(io.BytesIO(streams[1].read_bytes()))
    read_version(source)
    read_header(source)
    streams[0].write_bytes(streams[1].read_bytes()[: source.offset - 1])
    assert "within the check of the header" in fails(capsys, "--info", streams[0])
    assert run("--info", recording, streams[1]) == 1  # the others are told about
    assert f"{streams[1]}: .ecdc v1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["\x1b[2J", "two\nlines", "\ud800"])
def test_a_name_that_is_no_text(name: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a.ecdc"
    path.write_bytes(_v0(m=name))
    assert run("--info", path) == 0
    out, _ = capsys.readouterr()
    assert f"  model      {ascii(name)}\n" in out
    assert run("--info", "--json", path) == 0
    assert json.loads(capsys.readouterr().out)["model"] == name


def test_usage(recording: Path, capsys: Capture) -> None:
    assert run("--json", recording) == 2
    assert "needs --info" in capsys.readouterr().err
