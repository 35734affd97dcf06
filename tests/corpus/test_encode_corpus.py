"""Corpora to streams and to shards of codes: every input once, whatever stops or fails in between."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import deadly_task
import pytest
import torch
from small_codec import SMALL_48KHZ
from small_corpus import encode, export_small_codec, write_recordings

from encodec_lab.bitstream.compress import decompress
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.corpus.output_folder import OutputFolder
from encodec_lab.data.code_shards import read_code_shards
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.data.shard_building import write_shards
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.types import EncodedFrame

NAMES = [f"{letter}/{number}.wav" for letter in "ab" for number in range(5)] + ["a/0.flac"]
FORMATS = ["ecdc", "codes"]


@pytest.fixture
def codec(tmp_path: Path) -> EncodecModel:
    write_recordings(tmp_path / "audio", NAMES)
    return export_small_codec(tmp_path / "codec")


def check_outputs(root: Path, format: str, codec: EncodecModel, names: list[str]) -> None:
    """Those of all inputs are there, once each, and hold what the codec makes of the input."""
    out = root / "out"
    assert not list(out.rglob(".*.part"))
    if format == "ecdc":
        streams = {path.relative_to(out).as_posix(): path for path in out.rglob("*.ecdc")}
        assert sorted(streams) == sorted(f"{name}.ecdc" for name in names)
        decoded = {name: decompress(streams[f"{name}.ecdc"].read_bytes(), model=codec)[0] for name in names}
    else:
        recordings = list(read_code_shards(out, codec.config.codebook_size))
        assert sorted(recording.entry.path for recording in recordings) == sorted(names)
        decoded = {
            one.entry.path: codec.decode([EncodedFrame(torch.from_numpy(one.codes)[None].long(), None)])[0][
                :, : one.entry.num_samples
            ]
            for one in recordings
        }
    for name in names:
        wav = read_converted(root / "audio" / name, codec.sample_rate, codec.channels)
        torch.testing.assert_close(decoded[name], codec(wav[None])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("format", FORMATS)
def test_every_recording_once_and_never_again(codec, tmp_path, format):
    told = []
    with torch.no_grad():
        summary = encode(tmp_path, format, on_progress=lambda *given: told.append(given))
        check_outputs(tmp_path, format, codec, NAMES)
    assert (summary.num_done, summary.num_encoded, summary.failures) == (11, 11, {})
    assert summary.audio_s == pytest.approx(11 * 4_000 / 24_000)
    assert [given[:2] for given in told] == [(number, 11) for number in range(1, 12)]
    assert "s of audio per second" in told[-1][2]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = encode(tmp_path, format)
    assert (again.num_done, again.num_encoded) == (11, 0)
    assert {path: path.stat().st_mtime_ns for path in files} == files


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_worker_that_is_killed_costs_nothing(codec, tmp_path, format):
    killed = []

    def kill_one(*_: object) -> None:
        if not killed:
            worker = multiprocessing.active_children()[0]
            os.kill(worker.pid, signal.SIGKILL)
            killed.append(worker)

    summary = encode(tmp_path, format, workers=2, on_progress=kill_one)
    assert killed[0].exitcode == -signal.SIGKILL
    assert (summary.num_done, summary.failures) == (11, {})
    with torch.no_grad():
        check_outputs(tmp_path, format, codec, NAMES)


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_that_was_stopped_goes_on(codec, tmp_path, format):
    def stop_after_five(num_done: int, *_: object) -> None:
        if num_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path, format, on_progress=stop_after_five)
    num_before = len(OutputFolder(tmp_path / "out", ArraySlot(0, 1)).done(format))
    assert num_before in (3, 4, 5)
    (tmp_path / "out/.a.wav.0123.part").write_bytes(b"half of it")
    assert encode(tmp_path, format).num_encoded == 11 - num_before
    with torch.no_grad():
        check_outputs(tmp_path, format, codec, NAMES)


@pytest.mark.parametrize("format", FORMATS)
def test_failures_are_listed_and_retried_on_request(codec, tmp_path, format):
    bad = tmp_path / "audio/a/1.wav"
    good = bad.read_bytes()
    bad.write_bytes(b"no audio")
    for _ in range(2):
        summary = encode(tmp_path, format)
        assert summary.num_done == 10
        assert list(summary.failures) == ["a/1.wav"]
        (line,) = summary.failures_file.read_text().splitlines()
        assert json.loads(line) == {"path": "a/1.wav", "reason": summary.failures["a/1.wav"]}
        with pytest.raises(
            ValueError, match=r"1 of 11 recordings failed: a/1\.wav .*cannot be read as audio"
        ):
            summary.raise_for_failures()
        bad.write_bytes(good if _ else b"no audio")
    summary = encode(tmp_path, format, retry_failed=True)
    assert (summary.num_encoded, summary.failures) == (1, {})
    summary.raise_for_failures()
    assert summary.failures_file.read_text() == ""
    with torch.no_grad():
        check_outputs(tmp_path, format, codec, NAMES)


@pytest.mark.slow
def test_what_kills_its_worker_each_time_is_a_failure_and_costs_no_other(codec, tmp_path, monkeypatch):
    monkeypatch.setattr("encodec_lab.corpus.encode_corpus.encode_task", deadly_task.encode_task)
    summary = encode(tmp_path, "codes", workers=2)
    assert summary.failures == {"a/3.wav": "its process ended with exit status 9"}
    monkeypatch.undo()
    with torch.no_grad():
        check_outputs(tmp_path, "codes", codec, [name for name in NAMES if name != "a/3.wav"])


@pytest.mark.slow
def test_what_a_worker_stored_before_it_died_is_not_stored_again(codec, tmp_path, monkeypatch):
    monkeypatch.setattr("encodec_lab.corpus.encode_corpus.encode_task", deadly_task.store_and_die)
    summary = encode(tmp_path, "codes", workers=1)
    assert (summary.num_done, summary.failures) == (11, {})
    with torch.no_grad():
        check_outputs(tmp_path, "codes", codec, NAMES)


@pytest.mark.parametrize("format", FORMATS)
def test_jobs_of_an_array_share_the_work(codec, tmp_path, format):
    shares = [encode(tmp_path, format, slot=ArraySlot(index, 3)).num_encoded for index in range(3)]
    assert shares == [4, 4, 3]
    with torch.no_grad():
        check_outputs(tmp_path, format, codec, NAMES)


def test_segments_and_scales_are_kept(tmp_path):
    write_recordings(tmp_path / "audio", ["a.wav"], num_samples=110_000, rate_hz=48_000)
    codec = export_small_codec(tmp_path / "codec", SMALL_48KHZ)
    encode(tmp_path, "codes")
    (recording,) = read_code_shards(tmp_path / "out", codec.config.codebook_size)
    with torch.no_grad():
        frames = codec.encode(read_converted(tmp_path / "audio/a.wav", 48_000, 2)[None])
    assert recording.entry.segment_frames == [frame.codes.shape[-1] for frame in frames]
    assert recording.entry.scales == [float(frame.scale) for frame in frames]
    expected = torch.cat([frame.codes[0] for frame in frames], dim=-1)
    torch.testing.assert_close(torch.from_numpy(recording.codes).long(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("format", FORMATS)
def test_recordings_in_tar_shards(codec, tmp_path, format):
    write_shards(tmp_path / "audio", tmp_path / "tars", 20_000, 0.0)
    summary = encode(tmp_path, format, data=tmp_path / "tars")
    assert summary.num_encoded == 11
    names = OutputFolder(tmp_path / "out", ArraySlot(0, 1)).done(format)
    assert {name.split("/", 1)[1] for name in names} == set(NAMES)
    assert all(name.startswith("shard-0") for name in names)


def test_outputs_of_another_codec_or_bandwidth_are_not_mixed(codec, tmp_path):
    encode(tmp_path, "codes")
    with pytest.raises(ValueError, match="with another bandwidth_kbps, num_codebooks"):
        encode(tmp_path, "codes", bandwidth_kbps=1.8)
    export_small_codec(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="with another identity"):
        encode(tmp_path, "codes", model=str(tmp_path / "other"))
    with pytest.raises(ValueError, match="with another format"):
        encode(tmp_path, "ecdc")


def test_two_runs_of_one_slot_are_refused(codec, tmp_path):
    with (
        OutputFolder(tmp_path / "out", ArraySlot(0, 1)).locked(),
        pytest.raises(ValueError, match="another run is writing here"),
    ):
        encode(tmp_path, "codes")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "npz"}, "format=npz: use one of ecdc, codes"),
        ({"format": "codes", "lm": True}, "lm=true entropy codes streams"),
        ({"format": "ecdc", "lm": True}, "language model"),
        ({"format": "ecdc", "bandwidth_kbps": 7}, "7"),
        ({"format": "ecdc", "inputs_per_task": 0}, "inputs_per_task"),
        ({"format": "ecdc", "backend": "mpi"}, "backend=mpi: use one of local, ray"),
        ({"format": "ecdc", "backend": "ray"}, "workers=0"),
        ({"format": "ecdc", "data": "nowhere"}, "nowhere"),
    ],
)
def test_impossible_settings(codec, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        encode(tmp_path, changes.pop("format"), **changes)
    assert not (tmp_path / "out/corpus.json").exists()
