"""`recipes/make_manifest.py` and `recipes/make_shards.py`, killed midway and started again by the same command."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

NUM_FILES = 300
NUM_WORKERS = 3
LONGEST_WAIT_S = 240
COMMANDS = {
    "make_manifest": ["data=all.txt", "output=out.jsonl", f"workers={NUM_WORKERS}"],
    "make_shards": ["data=all.txt", "output=out", "shard_mib=0.25"],
}
JOURNALS = {"make_manifest": ".out.jsonl.journal", "make_shards": ".out.part/.journal"}
RESULTS = {"make_manifest": "out.jsonl", "make_shards": "out/index.jsonl"}


@pytest.fixture
def audio(tmp_path: Path) -> list[Path]:
    """Many short files, listed in `all.txt`."""
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"audio/{number:03}.wav" for number in range(NUM_FILES)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(rng.integers(1_000, 4_000)).clip(-3, 3), 16_000)
    (tmp_path / "all.txt").write_text("".join(f"audio/{path.name}\n" for path in paths))
    return paths


def start(repository: Path, folder: Path, recipe: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(repository / f"recipes/{recipe}.py"), *COMMANDS[recipe]],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=LONGEST_WAIT_S)
    assert process.returncode == 0, error
    return out


def num_lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_standstill(process: subprocess.Popen[str], journal: Path) -> None:
    """Until the journal has lines, and gets no more."""
    deadline_s = time.monotonic() + LONGEST_WAIT_S
    before = 0
    while not before or num_lines(journal) != before:
        before = num_lines(journal)
        time.sleep(0.5)
        assert process.poll() is None, "it should be held up"
        assert time.monotonic() < deadline_s


def results(folder: Path, recipe: str) -> dict[str, bytes]:
    """All that the recipe has written."""
    paths = [folder / "out.jsonl"] if recipe == "make_manifest" else (folder / "out").iterdir()
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", COMMANDS)
def test_killed_and_started_again(recipe: str, repository: Path, audio: list[Path], tmp_path: Path) -> None:
    finish(start(repository, tmp_path, recipe))
    unbroken = results(tmp_path, recipe)
    (tmp_path / COMMANDS[recipe][1].removeprefix("output=")).rename(tmp_path / "unbroken")

    # A pipe that nobody writes to holds the process up at this file, and then other workers at theirs, since soundfile
    # opens one file at a time.
    stuck = random.randrange(NUM_FILES // 4, NUM_FILES)
    held = audio[stuck].rename(tmp_path / "held")
    os.mkfifo(audio[stuck])
    process = start(repository, tmp_path, recipe)
    try:
        wait_for_standstill(process, tmp_path / JOURNALS[recipe])
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < (num_done := num_lines(tmp_path / JOURNALS[recipe])) <= stuck
    assert not (tmp_path / RESULTS[recipe]).exists()

    audio[stuck].unlink()
    held.rename(audio[stuck])
    # As they were, but for what is in them: to read one of them again would be to notice.
    for path in audio[:num_done]:
        status = path.stat()
        path.write_bytes(b"?" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert f"{NUM_FILES} files" in finish(start(repository, tmp_path, recipe))
    assert results(tmp_path, recipe) == unbroken
    entries = [json.loads(line) for line in (tmp_path / RESULTS[recipe]).read_text().splitlines()]
    names = [Path(entry.get("member", entry["path"])).name for entry in entries]
    assert names == [path.name for path in audio]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
