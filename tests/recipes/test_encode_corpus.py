"""`recipes/encode_corpus.py`, as a user types it: real processes, killed midway."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_corpus import encode, export_small_codec, write_recordings

from encodec_lab.bitstream.compress import decompress
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.corpus.output_folder import OutputFolder
from encodec_lab.data.code_shards import read_code_shards
from encodec_lab.models.registry import load_model

NUM_RECORDINGS = 40

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")


@pytest.fixture
def start(repository: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`start(*arguments)`: the recipe in a process of its own, on `audio`, with two workers."""
    write_recordings(
        tmp_path / "audio", [f"{number:02}.wav" for number in range(NUM_RECORDINGS)], num_samples=24_000
    )
    export_small_codec(tmp_path / "codec")
    # Ray's workers are nice by default, and wait long where other tests run beside them.
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(repository / "src"),
        "RAY_worker_niceness": "0",
        "RAY_ADDRESS": "127.0.0.1:1",  # of no cluster: one is started all the same
    }

    def run(*arguments: str) -> subprocess.Popen[str]:
        given = ["data=audio", "model=codec", "output=out", "workers=2", "inputs_per_task=4", *arguments]
        return subprocess.Popen(
            [sys.executable, str(repository / "recipes/encode_corpus.py"), *given],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def _processes_below(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:  # ended meanwhile
                continue
            children.setdefault(parent, []).append(int(process.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _workers(pid: int, word: str) -> list[int]:
    return [
        process
        for process in _processes_below(pid)
        if word.encode() in Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ")
    ]


def _await_outputs(process: subprocess.Popen[str], out: Path, format: str, num_wanted: int) -> int:
    end_s = time.monotonic() + 240
    while (num_done := len(OutputFolder(out, ArraySlot(0, 2)).done(format))) < num_wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, "this takes too long"
        time.sleep(0.01)
    return num_done


def test_what_a_user_sees(run_recipe, tmp_path, capsys):
    write_recordings(tmp_path / "audio", ["a.wav", "b/c.wav"])
    export_small_codec(tmp_path / "codec")
    arguments = ["data=audio", "model=codec", "output=out", "workers=0"]
    assert run_recipe("encode_corpus", *arguments, "format=ecdc", "array_index=1", "array_size=2") == 0
    assert "out: 1 of 1 recordings, 1 of them in this run" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").rglob("*.ecdc")] == ["c.wav.ecdc"]
    (tmp_path / "audio/b/c.wav").write_bytes(b"no audio")
    assert run_recipe("encode_corpus", *arguments, "output=codes") == 1
    said = capsys.readouterr()
    assert "codes: 1 of 2 recordings" in said.out
    assert said.err.splitlines()[-1].startswith("error: 1 of 2 recordings failed: b/c.wav (")
    assert run_recipe("encode_corpus", *arguments, "model=nowhere") == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.slow
@needs_proc
@pytest.mark.skipif(find_spec("ray") is None, reason="needs ray: pip install 'encodec-lab[ray]'")
def test_a_worker_of_ray_is_killed_midway(start, tmp_path):
    (tmp_path / "audio/39.wav").write_bytes(b"no audio")
    process = start("format=codes", "backend=ray")
    assert _await_outputs(process, tmp_path / "out", "codes", 2) < NUM_RECORDINGS - 1
    os.kill(_workers(process.pid, "ray::_results")[0], signal.SIGKILL)
    said, complaints = process.communicate(timeout=240)
    assert process.returncode == 1
    assert complaints.splitlines()[-1].startswith("error: 1 of 40 recordings failed: 39.wav (")
    assert "out: 39 of 40 recordings" in said
    codes = list(read_code_shards(tmp_path / "out", codebook_size=64))
    assert sorted(one.entry.path for one in codes) == [f"{number:02}.wav" for number in range(39)]
    assert not list((tmp_path / "out").rglob(".*.part"))


@pytest.mark.slow
@needs_proc
def test_a_run_that_was_killed_goes_on(start, tmp_path):
    process = start("format=ecdc")
    _await_outputs(process, tmp_path / "out", "ecdc", 2)
    process.kill()
    process.communicate()
    num_done = len(OutputFolder(tmp_path / "out", ArraySlot(0, 2)).done("ecdc"))
    assert 2 <= num_done < NUM_RECORDINGS
    assert 0 < encode(tmp_path, "ecdc").num_encoded <= NUM_RECORDINGS - num_done
    streams = sorted((tmp_path / "out").glob("*.ecdc"))
    assert [path.name for path in streams] == [f"{number:02}.wav.ecdc" for number in range(NUM_RECORDINGS)]
    codec = load_model(tmp_path / "codec")
    assert all(decompress(path.read_bytes(), model=codec)[0].shape == (1, 24_000) for path in streams)
    assert not list((tmp_path / "out").rglob(".*.part"))
