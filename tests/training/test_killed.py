"""A run of two processes that is killed at a random step and resumed ends as the run that was never killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_run import REPOSITORY, shrunk

from encodec_lab.evaluation.training_log import read_training_records

NUM_STEPS = 60
LONGEST_WAIT_S = 240
pytestmark = pytest.mark.slow  # three runs of two processes


def start(folder: Path, noise_folder: Path, *more: str) -> subprocess.Popen:
    """A run of two processes in a process group of its own."""
    settings = [
        "experiment=tiny",
        *shrunk(noise_folder),
        "codec_training.discriminator_probability=0.5",
        f"codec_training.schedule.total_steps={NUM_STEPS}",
        f"trainer.max_steps={NUM_STEPS}",
        "trainer.val_check_interval=25",
        "trainer.devices=2",
        "callbacks.checkpoint.every_n_steps=1",
        "~callbacks.samples",
        f"hydra.run.dir={folder}",
        "+callbacks.states._target_=rank_states.RankStates",
        f"+callbacks.states.folder={folder}",
        "+callbacks.buckets._target_=rank_states.SmallBuckets",
        "+callbacks.buckets.num_bytes=2000",
    ]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with (folder / "said.txt").open("a") as said:
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "train.py"), *settings, *more],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stderr=said,
            start_new_session=True,
        )


def finish(process: subprocess.Popen, folder: Path) -> None:
    assert process.wait(LONGEST_WAIT_S) == 0, (folder / "said.txt").read_text()


def kill_after_step(process: subprocess.Popen, folder: Path, step: int) -> None:
    """Kill all processes of the run some moment after it has saved this step."""
    deadline_s = time.monotonic() + LONGEST_WAIT_S
    while not any(
        int(path.stem.removeprefix("step_")) >= step for path in folder.glob("checkpoints/step_*.ckpt")
    ):
        assert process.poll() is None, (folder / "said.txt").read_text()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.05))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run had ended before"


def test_killed_and_resumed(noise_folder, tmp_path):
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    for folder in (unbroken, killed):
        folder.mkdir()
    whole = start(unbroken, noise_folder)
    finish(whole, unbroken)
    step = random.randint(2, NUM_STEPS - 20)
    kill_after_step(start(killed, noise_folder), killed, step)
    assert not (killed / "0.pt").exists()
    finish(start(killed, noise_folder, "ckpt_path=last"), killed)
    for rank in (0, 1):
        actual, expected = (
            torch.load(folder / f"{rank}.pt", weights_only=True) for folder in (killed, unbroken)
        )
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, msg=f"killed after step {step}")
    records = [read_training_records(folder / "metrics.csv") for folder in (killed, unbroken)]
    steps = [[step for step, values in record if "train/l1" in values] for record in records]
    assert steps[1] == list(range(NUM_STEPS))
    assert set(steps[0]) <= set(steps[1]) and steps[0] == sorted(set(steps[0]))
