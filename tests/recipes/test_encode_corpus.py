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
from small_corpus import export_small_codec, write_recordings

from encodec_lab.bitstream.compress import decompress
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.corpus.output_folder import OutputFolder
from encodec_lab.data.code_shards import read_code_shards
from encodec_lab.models.registry import load_model

NUM_RECORDINGS = 40

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc"),
]
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs ray: pip install 'encodec-lab[ray]'")


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


def _await_outputs(process: subprocess.Popen[str], out: Path, num_wanted: int) -> int:
    end_s = time.monotonic() + 240
    while (num_done := len(OutputFolder(out, ArraySlot(0, 2)).done("ecdc"))) < num_wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, "this takes too long"
        time.sleep(0.01)
    return num_done


def _check_streams(root: Path) -> None:
    streams = sorted((root / "out").glob("*.ecdc"))
    assert [path.name for path in streams] == [f"{number:02}.wav.ecdc" for number in range(NUM_RECORDINGS)]
    codec = load_model(root / "codec")
    for path in streams:
        wav, _ = decompress(path.read_bytes(), model=codec)
        assert wav.shape == (1, 24_000)
    assert not list((root / "out").rglob(".*.part"))


@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=needs_ray)])
def test_a_worker_is_killed_midway(start, tmp_path, backend):
    process = start("format=ecdc", f"backend={backend}")
    num_done = _await_outputs(process, tmp_path / "out", 2)
    assert num_done < NUM_RECORDINGS
    word = {"local": "spawn_main", "ray": "ray::_results"}[backend]
    os.kill(_workers(process.pid, word)[0], signal.SIGKILL)
    said, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints
    assert f"out: {NUM_RECORDINGS} of {NUM_RECORDINGS} recordings" in said
    _check_streams(tmp_path)


def test_the_whole_run_is_killed_and_started_again(start, tmp_path):
    process = start("format=ecdc")
    _await_outputs(process, tmp_path / "out", 2)
    process.kill()
    process.communicate()
    num_done = len(OutputFolder(tmp_path / "out", ArraySlot(0, 2)).done("ecdc"))
    assert 2 <= num_done < NUM_RECORDINGS
    process = start("format=ecdc", "workers=0")
    said, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints
    assert f"{NUM_RECORDINGS} of {NUM_RECORDINGS} recordings" in said
    _check_streams(tmp_path)


@needs_ray
def test_shards_by_ray_and_a_failure(start, tmp_path):
    (tmp_path / "audio/07.wav").write_bytes(b"no audio")
    said, complaints = start("backend=ray").communicate(timeout=240)
    assert f"out: {NUM_RECORDINGS - 1} of {NUM_RECORDINGS} recordings" in said
    assert complaints.splitlines()[-1].startswith("error: 1 of 40 recordings failed: 07.wav (")
    names = sorted(one.entry.path for one in read_code_shards(tmp_path / "out", 64))
    assert names == [f"{number:02}.wav" for number in range(NUM_RECORDINGS) if number != 7]
