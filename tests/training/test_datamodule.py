import copy
from pathlib import Path

import lightning
import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.audio_file import BadAudioWarning
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.mixing import Mixing, Strategy
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.speed import RandomSpeed
from encodec_lab.training.datamodule import AudioDataModule

pytestmark = [
    # Lightning 2.6 with torch 2.11.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
    # On one core, for two workers.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]

BATCHES_PER_EPOCH = 5


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """A folder with `train` and `valid`."""
    root = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for name, rate_hz, channels in [
        ("train/a.flac", 24_000, 1),
        ("train/b.wav", 44_100, 2),
        ("valid/c.ogg", 48_000, 1),
    ]:
        (root / name).parent.mkdir(exist_ok=True)
        soundfile.write(root / name, 0.1 * rng.standard_normal((2 * rate_hz, channels)).clip(-3, 3), rate_hz)
    return root


def datamodule(audio: Path, **overrides) -> AudioDataModule:
    arguments = {
        "train": str(audio / "train"),
        "valid": [str(audio / "valid")],
        "sample_rate_hz": 24_000,
        "channels": 1,
        "crop_s": 0.01,
        "batch_size": 4,
        "batches_per_epoch": BATCHES_PER_EPOCH,
        "valid_max_s": 0.5,
        "num_workers": 0,
        "seed": 7,
        "speed": None,
        "equalizer": None,
        "gain_db": [-10, 6],
        "mixing": None,
        "reverb": None,
        "silence_db": -60.0,
        "max_redraws": 8,
        "max_bad_share": 0.25,
    }
    return AudioDataModule(**(arguments | overrides))


def everything() -> dict[str, object]:
    """All augmentations, each of them sometimes."""
    one, two = Strategy(0.5, 1, None, [], reverb=False), Strategy(0.5, 2, None, [], reverb=True)
    return {
        "speed": RandomSpeed(0.5, [0.9, 1.1]),
        "equalizer": RandomEqualizer(0.5, [-6.0, 6.0], 8, 1_000.0, 24_000),
        "mixing": Mixing({"one": one, "two": two}, [-10.0, 6.0], 8),
        "reverb": RandomReverb(0.5, [0.3, 1.3], [0.0, 12.0], 24_000),
    }


class Recorder(lightning.LightningModule):
    """Writes down what it is given; manual optimisation, one step per batch, randomness of its own."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(240))
        self.automatic_optimization = False
        self.seen = []
        self.num_validated = 0

    def training_step(self, batch, batch_idx):
        self.seen.append((self.current_epoch, batch_idx, batch.clone()))
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(
            ((batch + 0.1 * torch.randn(240)) * self.weight).sum() + self.weight.square().sum()
        )
        optimizer.step()

    def validation_step(self, batch, batch_idx):
        wav, names = batch
        assert wav.shape == (1, 1, 12_000)
        assert names == ["c"]
        self.num_validated += 1

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.1)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint):
        self.random_state = checkpoint["random_state"]

    def on_train_start(self):
        if hasattr(self, "random_state"):
            torch.set_rng_state(self.random_state)


def fit(
    audio,
    folder,
    max_steps,
    ckpt_path=None,
    callbacks=(),
    val_check_interval=1.0,
    num_workers=0,
    **augmentations,
):
    torch.manual_seed(11)
    module = Recorder()
    trainer = lightning.Trainer(
        max_steps=max_steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        val_check_interval=val_check_interval,
        num_sanity_val_steps=1,
    )
    data = datamodule(audio, num_workers=num_workers, **augmentations)
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    assert trainer.global_step == max_steps
    return module, trainer


def assert_same_batches(seen, whole):
    assert len(seen) == len(whole)
    assert all(torch.equal(ours[2], theirs[2]) for ours, theirs in zip(seen, whole, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop", [3, 5, 7, 10])
@pytest.mark.parametrize("val_check_interval", [1.0, 2])
def test_resumed_equals_never_stopped(audio, tmp_path, num_workers, stop, val_check_interval):
    # Lightning counts an epoch that max_steps cut short as a whole one, so epoch numbers are left out here.
    arguments = {"num_workers": num_workers, "val_check_interval": val_check_interval}
    whole, _ = fit(audio, tmp_path, 13, **arguments)
    assert [(epoch, index) for epoch, index, _ in whole.seen] == [
        divmod(i, BATCHES_PER_EPOCH) for i in range(13)
    ]
    assert whole.num_validated > 1
    first, trainer = fit(audio, tmp_path, stop, **arguments)
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    rest, _ = fit(audio, tmp_path, 13, tmp_path / "stopped.ckpt", **arguments)
    assert_same_batches(first.seen + rest.seen, whole.seen)
    assert torch.equal(rest.weight, whole.weight)


@pytest.mark.parametrize("stop", [3, 7])
@pytest.mark.parametrize("num_workers", [(0, 2), (2, 0), (1, 3)])
def test_resumed_with_mixing_and_other_workers_equals_never_stopped(audio, tmp_path, stop, num_workers):
    before, after = num_workers
    whole, _ = fit(audio, tmp_path, 11, **everything())
    plain, _ = fit(audio, tmp_path, 11)
    assert not any(torch.equal(mixed[2], one[2]) for mixed, one in zip(whole.seen, plain.seen, strict=True))
    first, trainer = fit(audio, tmp_path, stop, num_workers=before, **everything())
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    rest, _ = fit(audio, tmp_path, 11, tmp_path / "stopped.ckpt", num_workers=after, **everything())
    assert_same_batches(first.seen + rest.seen, whole.seen)
    assert torch.equal(rest.weight, whole.weight)


class SaveAt(lightning.Callback):
    """Saves `folder/STEP.ckpt` whenever the hook that it names is called while training."""

    def __init__(self, folder, hook):
        self.folder = folder
        setattr(self, hook, self.save)

    def save(self, trainer, module, *_):
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end", "on_train_epoch_end"])
def test_resume_from_checkpoints_written_on_the_way(audio, tmp_path, num_workers, hook):
    arguments = {"num_workers": num_workers, "val_check_interval": 3}
    whole, _ = fit(audio, tmp_path, 11, callbacks=[SaveAt(tmp_path, hook)], **arguments)
    steps = sorted(int(checkpoint.stem) for checkpoint in tmp_path.glob("*.ckpt"))
    expected = {
        "on_train_batch_end": [*range(1, 12)],
        "on_validation_end": [3, 8],
        "on_train_epoch_end": [5, 10, 11],
    }
    assert steps == expected[hook]
    for step in set(steps) & {3, 4, 5, 8, 10}:
        rest, _ = fit(audio, tmp_path, 11, tmp_path / f"{step}.ckpt", **arguments)
        assert_same_batches(rest.seen, whole.seen[step:])
        if (
            hook != "on_train_epoch_end"
        ):  # here Lightning 2.6 counts the first batch to the epoch that has ended
            assert [seen[:2] for seen in rest.seen] == [seen[:2] for seen in whole.seen[step:]]
        assert torch.equal(rest.weight, whole.weight)


def test_epochs_differ_and_runs_repeat(audio, tmp_path):
    first, _ = fit(audio, tmp_path, 10)
    again, _ = fit(audio, tmp_path, 10, num_workers=1)
    assert_same_batches(again.seen, first.seen)
    assert len({tuple(batch[0, 0].tolist()) for _, _, batch in first.seen}) == 10


@pytest.mark.parametrize("augmented", [False, True])
def test_two_ranks_get_the_halves_of_one_batch(audio, augmented):
    def batches(rank, world_size):
        data = datamodule(audio, valid=None, **(everything() if augmented else {}))
        data.trainer = type("Ranked", (), {"global_rank": rank, "world_size": world_size})()
        data.setup("fit")
        return list(data.train_dataloader())

    joined = [torch.cat(halves) for halves in zip(batches(0, 2), batches(1, 2), strict=True)]
    assert torch.equal(torch.stack(joined), torch.stack(batches(0, 1)))
    with pytest.raises(ValueError, match="4 items .* 3 ranks"):
        batches(0, 3)


def test_the_loader_works_without_a_trainer(audio):
    data = datamodule(audio, channels=2, valid=None)
    data.setup("fit")
    assert next(iter(data.train_dataloader())).shape == (4, 2, 240)
    assert data.val_dataloader() == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"train": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"valid": ["/nowhere/at/all"]}, "/nowhere/at/all"),
        ({"train": []}, "empty list"),
        ({"crop_s": 0}, "crop_s"),
        ({"gain_db": [1]}, "gain_db"),
        ({"gain_db": [6, -10]}, "gain_db"),
        ({"batch_size": 0}, "batch size 0"),
        ({"batches_per_epoch": 0}, "0 batches"),
        ({"valid_max_s": 0}, "0 s"),
        ({"max_bad_share": 2}, "max_bad_share"),
        ({"channels": 6}, "6"),
        ({"seed": -3}, "-3"),
    ],
)
def test_bad_arguments_are_found_before_training(audio, overrides, words):
    with pytest.raises(ValueError, match=words) as caught:
        datamodule(audio, **copy.deepcopy(overrides)).setup("fit")
    assert "\n" not in str(caught.value)


def test_folders_without_usable_audio_are_found_before_training(audio, tmp_path):
    with pytest.raises(ValueError, match="no audio"):
        datamodule(audio, train=tmp_path).setup("fit")
    (tmp_path / "bad.wav").write_text("not audio")
    with pytest.raises(ValueError, match=r"bad\.wav"):
        datamodule(audio, train=tmp_path).setup("fit")
    soundfile.write(tmp_path / "good.wav", np.ones(2_400) / 10, 24_000)
    with pytest.warns(BadAudioWarning, match=r"bad\.wav"):
        datamodule(audio, train=tmp_path, max_bad_share=0.5).setup("fit")
