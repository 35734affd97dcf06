import hashlib
import json
import tarfile

import numpy as np
import pytest
import soundfile

from encodec_lab.data.audio_file import BadAudioWarning
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.manifest_building import build_manifest


@pytest.fixture
def folder(write_noise, tmp_path):
    for i in range(6):
        write_noise(f"set/{i % 2}/{i}.flac", 0.5 + i / 10)
    write_noise("set/stereo.ogg", 1.0, 44_100, 2)
    return tmp_path / "set"


def entries(manifest):
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def build(data, output, **changes):
    settings = {"num_workers": 2, "decodes": True, "max_bad_share": 0.3}
    return build_manifest(data, output, **(settings | changes))


def test_it_says_what_the_files_are(folder, tmp_path):
    summary = build(folder, tmp_path / "m.jsonl")
    listed = entries(tmp_path / "m.jsonl")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert [tmp_path / entry["path"] for entry in listed] == paths
    assert not any(entry["path"].startswith("/") for entry in listed)
    for path, entry in zip(paths, listed, strict=True):
        samples, rate_hz = soundfile.read(path, always_2d=True, dtype="float32")
        assert (entry["num_samples"], entry["channels"]) == samples.shape
        assert (entry["sample_rate_hz"], entry["num_bytes"]) == (rate_hz, path.stat().st_size)
        assert entry["duration_s"] == pytest.approx(len(samples) / rate_hz, abs=1e-6)
        assert entry["peak"] == np.abs(samples).max()
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (summary.num_files, summary.num_bad) == (7, 0)
    assert summary.duration_s == pytest.approx(5.5)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["m.jsonl"]
    # The files are as load_sources finds them in the folder, and are not opened for it.
    found = load_sources(folder, 0.0)[0].files
    for path in paths:
        path.rename(path.with_suffix(".gone"))
    described = load_sources(tmp_path / "m.jsonl", 0.0)[0].files
    assert [(info.path, info.num_samples, info.sample_rate_hz) for info in described] == [
        (info.path, info.num_samples, info.sample_rate_hz) for info in found
    ]
    assert all(info.peak is not None for info in described)


def test_elsewhere_paths_are_absolute_and_without_decoding_there_are_no_peaks(folder, tmp_path):
    build(folder, tmp_path / "elsewhere/m.jsonl", decodes=False)
    listed = entries(tmp_path / "elsewhere/m.jsonl")
    assert all(entry["path"].startswith(str(folder)) and "peak" not in entry for entry in listed)
    assert load_sources(tmp_path / "elsewhere/m.jsonl", 0.0)[0].duration_s == pytest.approx(5.5)


@pytest.mark.parametrize("num_done", [1, 4, 6])
@pytest.mark.parametrize("cut_bytes", [0, 1, 40])
def test_a_stopped_run_is_gone_on_with_and_gives_the_same_file(folder, tmp_path, num_done, cut_bytes):
    build(folder, tmp_path / "whole.jsonl", num_workers=3)

    class Killed(BaseException):
        pass

    def stop(done, total, file):
        if done == num_done:
            raise Killed

    with pytest.raises(Killed):
        build(folder, tmp_path / "m.jsonl", on_progress=stop)
    assert not (tmp_path / "m.jsonl").exists()
    journal = tmp_path / ".m.jsonl.journal"
    content = journal.read_bytes()
    assert content.count(b"\n") == num_done
    journal.write_bytes(content[: len(content) - cut_bytes])  # killed while it wrote
    seen = []
    build(folder, tmp_path / "m.jsonl", num_workers=1, on_progress=lambda *progress: seen.append(progress))
    assert (tmp_path / "m.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    kept = num_done - (cut_bytes > 0)
    assert [done for done, _, _ in seen] == [*range(kept + 1, 8)]
    assert not journal.exists()


def test_files_that_changed_meanwhile_are_read_again(folder, write_noise, tmp_path):
    def stop(done, total, file):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "m.jsonl", on_progress=stop)
    write_noise("set/0/0.flac", 3.0)
    seen = []
    build(folder, tmp_path / "m.jsonl", on_progress=lambda *progress: seen.append(progress))
    assert [file.endswith("0/0.flac") for _, _, file in seen] == [True]
    build(folder, tmp_path / "anew.jsonl")
    assert (tmp_path / "m.jsonl").read_bytes() == (tmp_path / "anew.jsonl").read_bytes()
    assert entries(tmp_path / "m.jsonl")[0]["duration_s"] == 3


def test_bad_files_are_left_out_and_too_many_are_an_error(folder, tmp_path):
    (folder / "bad.flac").write_bytes((folder / "0/0.flac").read_bytes()[:9_000])
    with pytest.warns(BadAudioWarning, match=r"1 of 8 .*bad\.flac"):
        assert build(folder, tmp_path / "m.jsonl")[:2] == (7, 1)
    with pytest.raises(ValueError, match=r"bad\.flac"):
        build(folder, tmp_path / "strict.jsonl", max_bad_share=0.0)
    assert not (tmp_path / "strict.jsonl").exists()
    assert (tmp_path / ".strict.jsonl.journal").exists()


def test_of_tars(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(folder, "data")
    build(tmp_path / "a.tar", tmp_path / "m.jsonl")
    build(folder, tmp_path / "plain.jsonl")
    listed, plain = entries(tmp_path / "m.jsonl"), entries(tmp_path / "plain.jsonl")
    assert {entry["path"] for entry in listed} == {"a.tar"}
    by_hash = {entry["sha256"]: entry for entry in plain}
    for entry in listed:
        same = by_hash.pop(entry["sha256"])
        assert entry["member"] == same["path"].replace("set/", "data/")
        assert all(entry[name] == same[name] for name in ("peak", "num_samples", "num_bytes"))
        content = (tmp_path / "a.tar").read_bytes()[entry["offset"] :][: entry["num_bytes"]]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert not by_hash


@pytest.mark.parametrize(
    ("output", "changes", "words"), [("m.csv", {}, "jsonl"), ("m.jsonl", {"num_workers": 0}, "worker")]
)
def test_impossible_settings_are_refused(folder, tmp_path, output, changes, words):
    with pytest.raises(ValueError, match=words):
        build(folder, tmp_path / output, **changes)
