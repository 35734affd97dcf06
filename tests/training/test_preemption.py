"""The signals that ask a run to give way, and what becomes of it."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from encodec_lab.training.preemption import (
    LAST_CHECKPOINT,
    PREEMPTED_STATUS,
    PreemptedError,
    PreemptionSignals,
    Request,
    goes_on,
    leave,
    mark_preempted,
    unmark_preempted,
)


@pytest.mark.parametrize(
    ("numbers", "request_"),
    [
        ([], Request.NOTHING),
        ([signal.SIGTERM], Request.SAVE),
        ([signal.SIGUSR1], Request.SAVE_AND_REQUEUE),
        ([signal.SIGUSR2, signal.SIGTERM], Request.SAVE_AND_REQUEUE),
    ],
)
def test_signals_are_noted_in_the_block_alone(numbers, request_):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    signals = PreemptionSignals()
    with signals.noted():
        for number in numbers:
            os.kill(os.getpid(), number)
    assert signals.request == request_
    assert {number: signal.getsignal(number) for number in before} == before


def _say_and_sleep(begun):
    begun.set()
    time.sleep(60)


def test_a_process_forked_off_ends_by_sigterm():
    """As multiprocessing ends its workers."""
    signals, context = PreemptionSignals(), multiprocessing.get_context("fork")
    with signals.noted():
        begun = context.Event()
        process = context.Process(target=_say_and_sleep, args=(begun,))
        process.start()
        assert begun.wait(20)  # Python forgets signals that a process gets while it is forked
        process.terminate()
        process.join(20)
    assert process.exitcode == -signal.SIGTERM
    assert signals.request == Request.NOTHING


def test_a_run_goes_on_until_the_note_is_taken_away(tmp_path, monkeypatch):
    assert not goes_on(tmp_path)
    mark_preempted(tmp_path)
    assert goes_on(tmp_path)
    unmark_preempted(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / LAST_CHECKPOINT).touch()
    assert not goes_on(tmp_path)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert goes_on(tmp_path)


def preempted(request_=Request.SAVE_AND_REQUEUE, is_first_rank=True):
    return PreemptedError(Path("run"), 3, request_, is_first_rank)


def test_other_ranks_leave_quietly(capsys):
    assert leave(preempted(is_first_rank=False)) == 0
    assert capsys.readouterr().err == ""


def test_outside_of_slurm_the_command_is_to_be_given_again(capsys):
    assert leave(preempted()) == PREEMPTED_STATUS
    assert capsys.readouterr().err == (
        "preempted: run holds the run as of step 3; the same command with hydra.run.dir=run goes on from there\n"
    )


def test_a_requeue_that_fails_is_told(capsys, monkeypatch, tmp_path):
    for name, value in {"JOB_ID": "7", "STEP_ID": "0", "JOB_NAME": "codec"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert leave(preempted()) == PREEMPTED_STATUS
    assert "with hydra.run.dir=run goes on from there, but the job could not be" in capsys.readouterr().err


@pytest.mark.parametrize("request_", [Request.SAVE, Request.SAVE_AND_REQUEUE])
def test_whoever_handled_the_signal_requeues(request_, capsys):
    received = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: received.append(number))
    try:
        assert leave(preempted(request_)) == PREEMPTED_STATUS
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert received == ([signal.SIGUSR2] if request_ == Request.SAVE_AND_REQUEUE else [])
