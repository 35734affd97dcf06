"""What is told from SLURM's variables, and what scontrol is asked for."""

import os
import pty
import sys

import pytest
from slurm_commands import install_slurm

from encodec_lab.training.slurm_job import RequeueError, is_run_again, requeue_job, run_name

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "codec"}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "now"),
        ({"SLURM_JOB_ID": "7"}, "now"),  # without srun
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "interactive"}, "now"),
        (STEP, "slurm_7_0_"),
        (STEP | {"SUBMITIT_EXECUTOR": "slurm"}, "now"),
    ],
)
def test_the_folder_of_a_batch_jobs_run_is_named_after_it(variables, name, monkeypatch):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert run_name("now").startswith(name)


@pytest.mark.parametrize("arguments", [["seed=1"], ["seed=1 2"], ["seed=1", "2"]])
def test_other_commands_of_a_job_step_have_other_folders(arguments, monkeypatch):
    for variable, value in STEP.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    name = run_name("now")
    assert name == run_name("later")
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=2"])
    assert run_name("now") != name


def test_at_a_terminal_a_run_has_a_folder_of_its_own(monkeypatch):
    for variable, value in STEP.items():
        monkeypatch.setenv(variable, value)
    master, slave = pty.openpty()
    with os.fdopen(master), os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert run_name("now") == "now"


@pytest.mark.parametrize("script", ["train.py", "recipes/train_lm.py"])
def test_runs_and_sweeps_are_named_so(script, run_script, capsys, monkeypatch):
    for variable, value in STEP.items():
        monkeypatch.setenv(variable, value)
    names = []
    for node in ("run", "sweep"):
        assert run_script(script, "--cfg", "hydra", "--package", f"hydra.{node}", "--resolve") == 0
        (folder,) = [
            line.removeprefix("dir: ")
            for line in capsys.readouterr().out.splitlines()
            if line.startswith("dir: ")
        ]
        names.append(folder)
    assert [name.split("/")[0] for name in names] == ["outputs", "multirun"]
    assert all("/slurm_7_0_" in name for name in names)


@pytest.mark.parametrize(("count", "expected"), [(None, False), ("0", False), ("2", True)])
def test_a_job_knows_that_it_is_run_again(count, expected, monkeypatch):
    if count is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    assert is_run_again() is expected


@pytest.mark.parametrize(
    ("array", "job"), [({}, "7"), ({"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}, "5_2")]
)
def test_one_job_of_an_array_is_requeued_alone(array, job, monkeypatch, tmp_path):
    for variable, value in (install_slurm(tmp_path / "slurm") | {"SLURM_JOB_ID": "7"} | array).items():
        monkeypatch.setenv(variable, value)
    assert requeue_job() == job
    assert (tmp_path / "slurm/scontrol.txt").read_text() == f"requeue {job}\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "scontrol requeue 7: .*No such file"),
        ("echo disabled >&2; exit 1", "scontrol requeue 7: disabled$"),
    ],
)
def test_a_requeue_that_fails_says_why(script, message, monkeypatch, tmp_path):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "scontrol").chmod(0o755)
    with pytest.raises(RequeueError, match=message):
        requeue_job()
