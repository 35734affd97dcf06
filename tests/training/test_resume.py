"""A run that is stopped and resumed is the run that was never stopped, bit for bit on the CPU."""

from pathlib import Path

import lightning
import pytest
import torch
from small_run import compose, shrunk

from encodec_lab.evaluation.training_log import TrainingRecord, read_training_records
from encodec_lab.training.run import train

NUM_STEPS = 11
STEPS_PER_EPOCH = 4
# 60 vectors a step, of which k-means wants 160: the first steps gather.
FIRST_STEP_WITH_CODES = 3


def overrides(noise_folder: Path, output_dir: Path) -> list[str]:
    return [
        "experiment=tiny",
        "data=mixed_crops",
        *shrunk(noise_folder),
        "data.speed.probability=0.5",
        "data.equalizer.probability=0.5",
        f"data.batches_per_epoch={STEPS_PER_EPOCH}",
        "codec_training.codebook_learning.kmeans_vectors_per_code=10",
        "codec_training.discriminator_probability=0.5",
        f"codec_training.schedule.total_steps={NUM_STEPS}",
        f"trainer.max_steps={NUM_STEPS}",
        "trainer.val_check_interval=3",
        "callbacks.checkpoint.every_n_steps=1",
        "callbacks.checkpoint.save_top_k=-1",
        "~callbacks.samples",
        "~callbacks.reporter",
        f"output_dir={output_dir}",
    ]


def complete_state(trainer: lightning.Trainer) -> dict[str, torch.Tensor]:
    """All that the run has learned: weights, buffers, both optimizers' moments."""
    state = dict(trainer.lightning_module.state_dict())
    for name, optimizer in zip(("codec", "discriminator"), trainer.optimizers, strict=True):
        content = optimizer.state_dict()
        assert content["state"], f"the {name} was never updated"
        for group in content["param_groups"]:
            state[f"{name}.lr"] = torch.tensor(group["lr"])
        for index, moments in content["state"].items():
            state |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    return state


def assert_same_state(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    differing = [name for name, value in expected.items() if not torch.equal(actual[name], value)]
    assert differing == []


@pytest.fixture(scope="module")
def unbroken(noise_folder, tmp_path_factory):
    """The run never stopped: its state, and the folder with a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("unbroken")
    trainer = train(compose(*overrides(noise_folder, folder)))
    assert trainer.global_step == NUM_STEPS
    return complete_state(trainer), folder / "checkpoints"


def logged(folder: Path, first_step: int = 0) -> list[TrainingRecord]:
    """What was logged from a step on; Lightning counts an epoch that max_steps cut short as a whole one."""
    return [
        (step, {name: value for name, value in values.items() if name != "epoch"})
        for step, values in read_training_records(folder / "metrics.csv")
        if step >= first_step
    ]


def gathered_in(checkpoint: Path) -> int:
    return len(torch.load(checkpoint, weights_only=True)["gathered_vectors"])


@pytest.mark.parametrize(
    ("step", "num_gathered", "num_workers"),
    [
        pytest.param(1, 1, 0, id="while vectors are gathered"),
        pytest.param(FIRST_STEP_WITH_CODES, 0, 0, id="after k-means, with a validation at this step"),
        pytest.param(STEPS_PER_EPOCH, 0, 0, id="at the end of an epoch"),
        pytest.param(7, 0, 0, id="in the middle of an epoch"),
        pytest.param(6, 0, 2, id="in the middle of an epoch, with another number of workers"),
    ],
)
def test_resumed_from_a_checkpoint_on_the_way(
    unbroken, noise_folder, tmp_path, step, num_gathered, num_workers
):
    state, checkpoints = unbroken
    checkpoint = checkpoints / f"step_{step:07d}.ckpt"
    assert gathered_in(checkpoint) == num_gathered
    changes = [f"ckpt_path={checkpoint}", f"data.num_workers={num_workers}"]
    trainer = train(compose(*overrides(noise_folder, tmp_path), *changes))
    assert_same_state(complete_state(trainer), state)
    assert logged(tmp_path) == logged(checkpoints.parent, step)


@pytest.mark.parametrize("stop", [2, 7])
def test_stopped_and_resumed_in_its_own_folder(unbroken, noise_folder, tmp_path, stop):
    state, checkpoints = unbroken
    settings = [
        *overrides(noise_folder, tmp_path),
        # As they are by default: the run stops between two of them.
        "callbacks.checkpoint.every_n_steps=3",
        "callbacks.checkpoint.save_top_k=1",
    ]
    assert train(compose(*settings, f"trainer.max_steps={stop}")).global_step == stop
    last = tmp_path / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == stop
    assert gathered_in(last) == (stop if stop < FIRST_STEP_WITH_CODES else 0)
    trainer = train(compose(*settings, "ckpt_path=last"))
    assert trainer.global_step == NUM_STEPS
    assert_same_state(complete_state(trainer), state)
    assert logged(tmp_path) == logged(checkpoints.parent), "the part before the stop must stay"


@pytest.mark.parametrize("ckpt_path", ["last", "nowhere.ckpt"])
def test_no_such_checkpoint(noise_folder, tmp_path, ckpt_path):
    with pytest.raises(ValueError, match=f"ckpt_path={ckpt_path}: there is no file"):
        train(compose(*overrides(noise_folder, tmp_path), f"ckpt_path={ckpt_path}"))
    assert list(tmp_path.iterdir()) == []


def test_a_new_run_in_a_used_folder_starts_its_files_anew(noise_folder, tmp_path):
    settings = overrides(noise_folder, tmp_path)
    train(compose(*settings, "trainer.max_steps=4"))
    train(compose(*settings, "trainer.max_steps=2"))
    assert [step for step, _ in logged(tmp_path)] == [0, 1]
    last = tmp_path / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    assert not list(last.parent.glob("last-v*.ckpt"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.latent_dim=4", r"another model; it differs in latent_dim \(8 there, 4 here\)$"),
        ("model.name=other", r"another model; it differs in name \(tiny there, other here\)$"),
        (
            "discriminator.num_filters=3",
            r"another discriminator; it differs in num_filters \(2 there, 3 here\)$",
        ),
    ],
)
def test_a_checkpoint_of_other_networks_is_refused_before_anything_changes(
    unbroken, noise_folder, tmp_path, change, message
):
    _, checkpoints = unbroken
    with pytest.raises(ValueError, match=message):
        train(compose(*overrides(noise_folder, tmp_path), change, f"ckpt_path={checkpoints / 'last.ckpt'}"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"not a checkpoint", {"state_dict": {}}, [1, 2]])
def test_a_file_that_is_no_checkpoint_of_ours(noise_folder, tmp_path, content):
    file = tmp_path / "other.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ValueError, match="cannot be read as a PyTorch file|not written by"):
        train(compose(*overrides(noise_folder, tmp_path / "run"), f"ckpt_path={file}"))
    assert not (tmp_path / "run").exists()


def test_a_learning_rate_that_was_changed_is_used(unbroken, noise_folder, tmp_path):
    _, checkpoints = unbroken
    settings = [*overrides(noise_folder, tmp_path), "codec_training.schedule.final_factor=1.0"]
    settings += ["codec_training.schedule.warmup_steps=0", "generator_optimizer.lr=5e-5"]
    trainer = train(compose(*settings, f"ckpt_path={checkpoints / 'step_0000007.ckpt'}"))
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == [5e-5, 3e-4]
