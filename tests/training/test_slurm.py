"""Jobs of SLURM: what is submitted, and that a run which has to give way goes on and ends as one never interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from signalled_run import NUM_STEPS, VALIDATION_INTERVAL, overrides, rank_states, signal_at, signals
from slurm_commands import JOB, install_slurm, job_environment
from small_run import REPOSITORY, compose, start_program

from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.training.preemption import LAST_CHECKPOINT, PREEMPTED_FILE, PREEMPTED_STATUS, PreemptedError
from encodec_lab.training.run import train
from encodec_lab.training.safety_net import DivergedError

LONGEST_WAIT_S = 240
SUBMIT = ["--multirun", "hydra/launcher=slurm"]


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    return install_slurm(tmp_path / "slurm")


def finds_callbacks() -> str:
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])


def assert_same_states(actual: Path, expected: Path, num_ranks: int) -> None:
    for rank in range(num_ranks):
        torch.testing.assert_close(
            torch.load(actual / f"{rank}.pt", weights_only=True),
            torch.load(expected / f"{rank}.pt", weights_only=True),
            rtol=0,
            atol=0,
        )


def test_what_is_submitted_and_that_a_refusal_is_told_without_a_traceback(slurm, tmp_path):
    settings = ["experiment=music48k", "data.train=x", "trainer.devices=8", "trainer.num_nodes=4"]
    launcher = ["partition=nowhere", "account=audio", "timeout_min=90", "signal_delay_s=60"]
    result = start_program(
        "train.py", *SUBMIT, *settings, *(f"hydra.launcher.{key}" for key in launcher), cwd=tmp_path, **slurm
    )
    refusal = "sbatch: error: invalid partition specified: nowhere\n"
    assert (result.returncode, result.stderr) == (1, f"{refusal}error: {refusal}")
    script = (tmp_path / "slurm/script.sh").read_text()
    options = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert {
        "nodes=4",
        "ntasks-per-node=8",
        "gpus-per-node=8",
        "cpus-per-task=6",
        "signal=USR2@60",
        "requeue",
        "open-mode=append",
        "partition=nowhere",
        "account=audio",
        "time=90",
        "job-name=encodec-lab",
    } <= options
    assert script.index("export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK") < script.index("\nsrun ")


def test_a_number_of_devices_is_needed(slurm, run_script, capsys, monkeypatch):
    monkeypatch.setenv("PATH", slurm["PATH"])
    assert run_script("train.py", *SUBMIT, "experiment=tiny", "trainer.devices=auto") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'${trainer.devices}': Value 'auto'" in error


def test_without_the_plugin(tmp_path):
    """An empty package of its name comes before it."""
    hidden = tmp_path / "hidden/hydra_plugins/hydra_submitit_launcher"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])
    result = start_program("train.py", *SUBMIT, "experiment=tiny", cwd=tmp_path, PYTHONPATH=path)
    assert (result.returncode, result.stderr) == (
        1,
        "error: hydra/launcher/submitit_slurm needs the submitit launcher: pip install '.[slurm]'\n",
    )


def test_a_run_under_srun_gives_way_twice_and_goes_on(slurm, noise_folder, tmp_path, monkeypatch):
    """At its time limit it is requeued; SIGTERM, which scancel sends, is only saved for, here before a validation."""
    unbroken = tmp_path / "unbroken"
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    settings = [*overrides(noise_folder), "callbacks.checkpoint.every_n_steps=5"]  # not where it is validated
    train(compose(*settings, *rank_states(unbroken), f"output_dir={unbroken}"))
    command = [
        sys.executable,
        str(REPOSITORY / "train.py"),
        *settings,
        *rank_states(tmp_path),
        *signals("{2: SIGUSR1, 7: SIGTERM}", 0),
    ]
    environment = os.environ | slurm | job_environment(1)
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": finds_callbacks()}

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["srun", *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    asked = tmp_path / "slurm/scontrol.txt"
    for step in (3, 8):
        result = start()
        assert result.returncode == PREEMPTED_STATUS, result.stderr
        (run,) = (tmp_path / "outputs/tiny").glob(f"slurm_{JOB}_0_*")
        assert f"preempted: {run} holds the run as of step {step}; " in result.stderr
        assert (f"job {JOB} is requeued" in result.stderr) == (step == 3)
        assert asked.read_text() == f"requeue {JOB}\n"
        assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == step
        assert (run / PREEMPTED_FILE).is_file()
    result = start()
    assert result.returncode == 0, result.stderr
    assert not (run / PREEMPTED_FILE).exists()
    assert_same_states(tmp_path, unbroken, 1)
    logged, expected = (
        [
            (step, {name: value for name, value in values.items() if name != "epoch"})
            for step, values in read_training_records(folder / "metrics.csv")
        ]
        for folder in (run, unbroken)
    )
    assert logged == expected


def test_a_job_that_is_run_again_goes_on_from_its_last_checkpoint(noise_folder, tmp_path, monkeypatch):
    """As after the failure of a node, which sends no signal."""
    settings = [*overrides(noise_folder), f"output_dir={tmp_path}"]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(compose(*settings, f"trainer.max_steps={VALIDATION_INTERVAL}"))  # there is no checkpoint yet
    records = read_training_records(tmp_path / "metrics.csv")
    train(compose(*settings, "seed=99"))  # which a run that begins anew would show
    assert read_training_records(tmp_path / "metrics.csv")[: VALIDATION_INTERVAL - 1] == records[:3]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    train(compose(*settings, "trainer.max_steps=2"))
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def step_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["global_step"])


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_start"])
def test_a_signal_before_the_first_step_is_saved_for_after_it(hook, noise_folder, tmp_path, monkeypatch):
    """Lightning takes SIGTERM between the two."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(PreemptedError):
        train(compose(*overrides(noise_folder), *signal_at(hook, "SIGTERM"), f"output_dir={tmp_path}"))
    assert step_of(tmp_path / LAST_CHECKPOINT) == 1


def test_a_signal_to_all_processes_of_a_run(noise_folder, tmp_path):
    """The loader's workers get it, too, and are still needed."""
    terminates = ["+callbacks.terminates._target_=signalled.TerminatesGroup", "+callbacks.terminates.step=3"]
    settings = [*overrides(noise_folder), *terminates, "data.num_workers=2", f"hydra.run.dir={tmp_path}/run"]
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *settings],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": finds_callbacks()},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=LONGEST_WAIT_S,
        check=False,
    )
    assert result.returncode == PREEMPTED_STATUS, result.stderr
    assert "Traceback" not in result.stderr
    assert step_of(tmp_path / "run" / LAST_CHECKPOINT) == 4


def test_a_run_that_has_gone_on_and_failed_does_not_go_on_again(noise_folder, tmp_path, monkeypatch, capsys):
    """So that it can go on from an earlier checkpoint."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    settings = [*overrides(noise_folder), "callbacks.checkpoint.save_top_k=-1", f"output_dir={tmp_path}"]
    with pytest.raises(PreemptedError):
        train(compose(*settings, *signals("{5: SIGUSR1}", 0)))
    (early,) = (tmp_path / "checkpoints").glob("step_*4.ckpt")
    again = [*settings, f"ckpt_path={early}"]
    with pytest.raises(DivergedError):
        train(compose(*again, "codec_training.max_skipped_steps=1", "generator_optimizer.lr=1e30"))
    assert (
        f"goes on from {tmp_path / LAST_CHECKPOINT} (ckpt_path={early} is set aside)\n"
        in capsys.readouterr().err
    )
    assert not (tmp_path / PREEMPTED_FILE).exists()
    train(compose(*again, "trainer.max_steps=5"))
    assert "goes on from" not in capsys.readouterr().err
    assert step_of(tmp_path / LAST_CHECKPOINT) == 5


def test_a_run_that_has_no_step_left_has_finished(noise_folder, tmp_path, monkeypatch):
    """Lightning calls few of its hooks then."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    settings = [*overrides(noise_folder), f"output_dir={tmp_path}"]
    with pytest.raises(PreemptedError):
        train(compose(*settings, *signals("{2: SIGUSR1}", 0)))
    assert (tmp_path / PREEMPTED_FILE).is_file()
    train(compose(*settings, "trainer.max_steps=3"))
    assert not (tmp_path / PREEMPTED_FILE).exists()


def test_a_job_does_not_write_over_another_run(noise_folder, tmp_path, monkeypatch):
    settings = [*overrides(noise_folder), f"output_dir={tmp_path}"]
    train(compose(*settings, "trainer.max_steps=2"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name, value in job_environment(1).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(ValueError, match=r"last.ckpt: ckpt_path=last goes on with it, hydra.run.dir=… names"):
        train(compose(*settings))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("SLURM_NODEID", "0")
    assert train(compose(*settings, "ckpt_path=last", "trainer.max_steps=3")).global_step == 3


def test_a_local_job_of_submitit_gives_way_and_goes_on(noise_folder, tmp_path):
    result = start_program(
        "train.py",
        "--multirun",
        "hydra/launcher=submitit_local",
        "hydra.sweep.dir=sweep",
        *overrides(noise_folder),
        *signals("{2: SIGUSR2}", 0),
        cwd=tmp_path,
        PYTHONPATH=finds_callbacks(),
    )
    assert (result.returncode, result.stderr) == (0, "")
    (said,) = (tmp_path / "sweep/.submitit").glob("*/*_0_log.err")
    assert said.read_text().count("preempted: ") == 1
    steps = [
        step
        for step, values in read_training_records(tmp_path / "sweep/0/metrics.csv")
        if "train/l1" in values
    ]
    assert steps == list(range(NUM_STEPS))
    assert not (tmp_path / "sweep/0" / PREEMPTED_FILE).exists()
    assert (tmp_path / "sweep/summary.csv").is_file()


@pytest.mark.slow  # four starts of a process, six of a rank
def test_a_submitted_job_of_two_ranks_of_which_one_is_told_to_give_way(slurm, noise_folder, tmp_path):
    unbroken = tmp_path / "unbroken"
    environment = slurm | {"PYTHONPATH": finds_callbacks()}
    settings = [*overrides(noise_folder), "trainer.devices=2"]
    result = start_program(
        "train.py",
        *settings,
        *rank_states(unbroken),
        f"hydra.run.dir={unbroken}",
        cwd=tmp_path,
        **{"PYTHONPATH": finds_callbacks()},
    )
    assert result.returncode == 0, result.stderr
    submitted = subprocess.Popen(
        [
            sys.executable,
            str(REPOSITORY / "train.py"),
            *SUBMIT,
            "hydra.launcher.gpus_per_node=null",
            *settings,
            *rank_states(tmp_path),
            *signals("{5: SIGUSR2}", 1),
        ],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        pickles, script = f"multirun/tiny/*/.submitit/{JOB}/{JOB}_submitted.pkl", tmp_path / "slurm/script.sh"
        deadline_s = time.monotonic() + LONGEST_WAIT_S
        while not (script.is_file() and any(tmp_path.glob(pickles))):
            assert submitted.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.1)
        (pickle,) = tmp_path.glob(pickles)
        job = ["bash", str(script)]
        job_settings = os.environ | {"OMP_NUM_THREADS": "1"} | environment | job_environment(2)
        first = subprocess.run(job, cwd=tmp_path, env=job_settings, check=False, timeout=LONGEST_WAIT_S)
        said = "\n".join(path.read_text() for path in sorted(pickle.parent.glob("*_log.*")))
        assert first.returncode == 255, said  # as submitit ends a job that goes on later
        assert (tmp_path / "slurm/scontrol.txt").read_text() == f"requeue {JOB}\n"
        (last,) = tmp_path.glob("multirun/tiny/*/0/checkpoints/last.ckpt")
        assert last.parents[2] == pickle.parents[2]  # what submits and what is submitted agree
        assert torch.load(last, weights_only=True)["global_step"] == 7  # the ranks agree within a step
        again = subprocess.run(job, cwd=tmp_path, env=job_settings, check=False, timeout=LONGEST_WAIT_S)
        assert again.returncode == 0
        assert submitted.wait(LONGEST_WAIT_S) == 0
    finally:
        if submitted.poll() is None:
            submitted.send_signal(signal.SIGKILL)
        _, error = submitted.communicate()
    assert error == ""
    assert_same_states(tmp_path, unbroken, 2)
