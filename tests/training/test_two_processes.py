"""Two gloo processes, as `train.py trainer.devices=2` starts them, against one process with the same global batch."""

import os
from pathlib import Path

import pytest
import torch
from small_run import compose, shrunk, start_program

from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.training.draws import draw_step
from encodec_lab.training.run import train

NUM_STEPS = 20
VALIDATION_INTERVAL = 8
SEED = 1234
BANDWIDTHS = (12.0, 24.0)
PROBABILITY = 0.5


def overrides(noise_folder: Path) -> list[str]:
    # Gradient descent instead of Adam, which would hide a wrong scale of the gradients and make much of rounding where
    # they are near zero.
    descent = [
        change
        for optimizer in ("generator_optimizer", "discriminator_optimizer")
        for change in (
            f"{optimizer}._target_=torch.optim.SGD",
            f"~{optimizer}.betas",
            f"+{optimizer}.momentum=0.9",
        )
    ]
    return [
        "experiment=tiny",
        "data=mixed_crops",
        *shrunk(noise_folder, bandwidths=BANDWIDTHS),
        *descent,
        "generator_optimizer.lr=1e-3",
        "discriminator_optimizer.lr=1e-2",
        f"seed={SEED}",
        "data.batch_size=4",
        # 120 vectors a step: k-means begins at the second.
        "codec_training.codebook_learning.kmeans_vectors_per_code=10",
        f"codec_training.discriminator_probability={PROBABILITY}",
        f"trainer.max_steps={NUM_STEPS}",
        f"trainer.val_check_interval={VALIDATION_INTERVAL}",
        "~callbacks.samples",
    ]


@pytest.fixture(scope="module")
def two(noise_folder, tmp_path_factory):
    """The folder of a run of two processes, with each rank's state, and what it said."""
    folder = tmp_path_factory.mktemp("two")
    result = start_program(
        "train.py",
        *overrides(noise_folder),
        "trainer.devices=2",
        f"hydra.run.dir={folder}",
        "+callbacks.states._target_=rank_states.RankStates",
        f"+callbacks.states.folder={folder}",
        "+callbacks.buckets._target_=rank_states.SmallBuckets",
        "+callbacks.buckets.num_bytes=2000",
        cwd=folder,
        timeout_s=240,
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    )
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture(scope="module")
def one(noise_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    trainer = train(compose(*overrides(noise_folder), f"output_dir={folder}"))
    return folder, trainer.lightning_module


def rank_state(folder: Path, rank: int) -> dict[str, object]:
    return torch.load(folder / f"{rank}.pt", weights_only=True)


def test_discriminator_updates_are_skipped_at_random():
    """The runs here are worth something: there are steps of both kinds, and both bandwidths."""
    draws = [draw_step(SEED, step, BANDWIDTHS, PROBABILITY) for step in range(NUM_STEPS)]
    assert 5 < sum(draw.updates_discriminator for draw in draws) < 15
    assert {draw.bandwidth_kbps for draw in draws} == set(BANDWIDTHS)


def test_all_ranks_hold_the_same(two):
    folder, _ = two
    first, second = rank_state(folder, 0), rank_state(folder, 1)
    assert first["module"].keys() == second["module"].keys()
    differing = [
        name for name, value in first["module"].items() if not torch.equal(value, second["module"][name])
    ]
    assert differing == []
    torch.testing.assert_close(first["optimizers"], second["optimizers"], rtol=0, atol=0)


def test_two_processes_learn_what_one_does(two, one):
    folder, _ = two
    _, module = one
    expected = module.state_dict()
    started = expected["codec.quantizer.vq.layers.1._codebook.inited"]
    assert started.item() == 1
    actual = rank_state(folder, 0)["module"]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_validation_scores_are_those_of_one_process(two, one):
    scores = []
    for folder in (two[0], one[0]):
        records = read_training_records(folder / "metrics.csv")
        scores.append([values for _, values in records if "valid/si_snr_db/12kbps" in values])
    assert len(scores[0]) == len(scores[1]) == 2
    for actual, expected in zip(*scores, strict=True):
        assert actual == pytest.approx(expected, rel=1e-3)


def test_files_are_written_once(two):
    folder, result = two
    steps = [step for step, values in read_training_records(folder / "metrics.csv") if "train/l1" in values]
    assert steps == list(range(NUM_STEPS))
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.ckpt", "step_0000016.ckpt"}
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    torch.testing.assert_close(checkpoint["state_dict"], rank_state(folder, 0)["module"], rtol=0, atol=0)
    assert result.stderr.count("trained to step") == 1


@pytest.mark.parametrize("flag_is_first", [True, False])
def test_a_sweep_of_two_processes(noise_folder, tmp_path, flag_is_first):
    """Wherever the flag stands, all goes to one folder."""
    arguments = [
        "experiment=tiny",
        *shrunk(noise_folder),
        "trainer.devices=2",
        "trainer.max_steps=1",
        "seed=1,2",
    ]
    arguments.insert(0 if flag_is_first else len(arguments), "--multirun")
    result = start_program("train.py", *arguments, cwd=tmp_path, timeout_s=240)
    assert result.returncode == 0, result.stderr
    [sweep] = tmp_path.glob("multirun/tiny/*")
    for job in ("0", "1"):
        checkpoint = torch.load(sweep / job / "checkpoints/last.ckpt", weights_only=True)
        assert (checkpoint["global_step"], checkpoint["run_config"]["seed"]) == (1, 1 + int(job))
        assert len(read_training_records(sweep / job / "metrics.csv")) >= 1
