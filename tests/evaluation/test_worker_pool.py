"""Jobs in processes: all results, what becomes of processes that die, and none left behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pool_work
import pytest

from encodec_lab.evaluation import worker_pool
from encodec_lab.evaluation.worker_pool import LostJob, run_jobs

TESTS = Path(pool_work.__file__).parent


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _await(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "this takes too long"
        time.sleep(0.02)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_result_of_every_job(num_workers: int) -> None:
    variable_before = os.environ.get("OMP_NUM_THREADS")
    results = list(run_jobs(pool_work.count, 10, [3, 0, 2, 1], num_workers))
    threads = "1" if num_workers else variable_before
    expected = [(job, 10 * index, threads) for job in (3, 0, 2, 1) for index in range(job)]
    assert sorted(results) == sorted(expected)
    assert os.environ.get("OMP_NUM_THREADS") == variable_before


def test_a_process_that_dies_costs_its_job() -> None:
    results = list(run_jobs(pool_work.die_of_two, 9, [1, 2, 3], 1))
    assert results == [1, 2, LostJob(2, "its process ended with exit status 9"), 3]


def test_unexpected_errors_come_with_their_traceback() -> None:
    with pytest.raises(RuntimeError, match="(?s)in fail.*KeyError: 'job 7'"):
        list(run_jobs(pool_work.fail, None, [7], 1))


def test_the_end_of_a_file_is_not_that_of_the_pipe() -> None:
    with pytest.raises(RuntimeError, match="(?s)in end_of_file.*EOFError: no more audio"):
        list(run_jobs(pool_work.end_of_file, None, [7], 1))


def test_all_processes_are_started_before_the_first_is_given_its_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    start, give = worker_pool._start, worker_pool._give
    monkeypatch.setattr(worker_pool, "_start", lambda job: calls.append("start") or start(job))
    monkeypatch.setattr(worker_pool, "_give", lambda *given: calls.append("give") or give(*given))
    list(run_jobs(pool_work.count, 10, [1, 1], 2))
    assert calls[:4] == ["start", "start", "give", "give"]


def test_closing_ends_the_processes(tmp_path: Path) -> None:
    with closing(run_jobs(pool_work.note_and_wait, tmp_path, [1], 1)) as results:
        assert next(results) == 1
        pid = int((tmp_path / "1.pid").read_text())
        assert _is_alive(pid)
    assert not _is_alive(pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells processes by /proc")
def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, pool_work\n"
        "from encodec_lab.evaluation.worker_pool import run_jobs\n"
        "if __name__ == '__main__':\n"
        "    for _ in run_jobs(pool_work.note_and_wait, pathlib.Path(sys.argv[1]), [1, 2], 2): pass\n"
    )
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = subprocess.Popen([sys.executable, tmp_path / "program.py", tmp_path], env=environment)
    notes = [tmp_path / f"{job}.pid" for job in (1, 2)]
    _await(lambda: all(note.exists() and note.read_text() for note in notes))
    process.send_signal(signal.SIGKILL)
    process.wait()
    for note in notes:
        _await(lambda note=note: not _is_alive(int(note.read_text())))
