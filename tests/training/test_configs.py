"""The real configuration files: each experiment is what its header says, and runs once it is shrunk."""

import dataclasses
import inspect

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small_run import REPOSITORY, compose, shrunk, start_program

from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.training import loop
from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.config import resolved
from encodec_lab.training.run import build_trainer, train
from encodec_lab.training.start import start_networks_

# Those of recipes/train_lm.py are tested in test_lm_run.py.
EXPERIMENTS = sorted(
    path.stem
    for path in (REPOSITORY / "configs/experiment").glob("*.yaml")
    if not path.stem.startswith("lm_")
)
# What the vocoder's start, compressed spectrum and intelligibility need of a codec and crops so small.
SHRUNK_LAB = [
    "start=signal_preserving",
    "losses.reconstruction.compressed_spectrum.window_lengths=[64]",
    "data.crop_s=0.4",
]
PAPER = {"speech24k": ENCODEC_24KHZ, "general24k": ENCODEC_24KHZ, "music48k": ENCODEC_48KHZ}


def bandwidths_of(experiment: str) -> tuple[float, float]:
    """One and two codebooks of 16 entries at 8 samples a frame."""
    return (24, 48) if "48k" in experiment else (12, 24)


def test_promised_experiments_are_there():
    assert {"tiny", "speech24k", "general24k", "music48k"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs(experiment, noise_folder, tmp_path):
    settings = shrunk(noise_folder, bandwidths=bandwidths_of(experiment))
    config = compose(f"experiment={experiment}", "data.train=x", "output_dir=x")
    if not config.discriminator:
        settings = [setting for setting in settings if not setting.startswith("discriminator.")]
    if OmegaConf.is_missing(config, "first_phase"):
        settings.append("first_phase=null")
    if experiment.startswith("lab_24khz"):
        settings += SHRUNK_LAB
    trainer = train(compose(f"experiment={experiment}", *settings, f"output_dir={tmp_path}"))
    assert trainer.global_step == 2
    module = trainer.lightning_module
    assert module.codec.quantizer.started
    records = read_training_records(tmp_path / "metrics.csv")
    assert sum("train/commitment" in values for _, values in records) == 2
    assert sum(f"valid/si_snr_db/{bandwidths_of(experiment)[0]}kbps" in values for _, values in records) == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "curves.html",
        "metrics.csv",
        "samples",
    }
    checkpoint = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["run_config"] == OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml"))
    assert checkpoint["run_config"]["data"]["sample_rate_hz"] == module.codec.sample_rate


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_is_small_and_says_how_to_run_it(experiment):
    lines = (REPOSITORY / f"configs/experiment/{experiment}.yaml").read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    settings = [line for line in lines if line.strip() and not line.startswith("#")]
    assert len(settings) <= 30
    assert any(f"python train.py experiment={experiment}" in line for line in header)
    assert any("Hardware:" in line for line in header)


def test_the_second_phase_of_the_bundled_codec_goes_on_from_the_first(noise_folder, tmp_path):
    settings = [*shrunk(noise_folder), *SHRUNK_LAB]
    alone = [setting for setting in settings if not setting.startswith("discriminator.")]
    train(compose("experiment=lab_24khz", *alone, f"output_dir={tmp_path / 'first'}"))
    first = tmp_path / "first/checkpoints/last.ckpt"
    second = ("experiment=lab_24khz_adversarial", *settings, f"output_dir={tmp_path / 'second'}")
    with pytest.raises(ValueError, match="Missing mandatory value: first_phase"):
        train(compose(*second))
    module = train(compose(*second, f"first_phase={first}")).lightning_module
    assert module.discriminator is not None
    assert module.codec.name == "lab_24khz"
    shares = module.balancer.shares
    assert 0 < shares["adversarial"] + shares["feature_matching"] < 0.5


def test_each_node_is_what_its_target_builds():
    config = compose("experiment=tiny", "data.train=x", "output_dir=x")
    learning = instantiate(config.codec_training.codebook_learning)
    assert (learning.decay, learning.kmeans_iterations) == (0.99, 10)
    parameters = inspect.signature(CodecTraining).parameters
    assert {name for name in config.codec_training if not str(name).startswith("_")} <= set(parameters)


@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
def test_a_published_name_is_for_metas_weights_alone(model, noise_folder, tmp_path):
    """Version 0 of the stream format knows weights by the codec's name alone."""
    message = f"model.name={model}: streams of a codec named {model} would be decoded by Meta's weights"
    settings = [f"data.train={noise_folder / 'train'}", f"output_dir={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match=message):
        train(compose(f"model={model}", *settings))
    assert not (tmp_path / "run").exists()


def test_wandb_is_finished_when_the_training_fails(noise_folder, tmp_path, monkeypatch):
    finished = []
    monkeypatch.setattr(loop.wandb, "finish", lambda: finished.append(True))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(CodecTraining, "training_step", fail)
    wandb_logger = ["logger=wandb", "logger.wandb.offline=true", "~callbacks.samples"]
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(OSError, match="disk full"):
        train(compose("experiment=tiny", *shrunk(noise_folder), *wandb_logger, f"output_dir={tmp_path}"))
    assert finished == [True]


@pytest.mark.parametrize("experiment", PAPER)
def test_paper_recipe_is_the_papers(experiment):
    """Section 3.4 and 4.4, at full size."""
    is_48khz = experiment == "music48k"
    config = compose(f"experiment={experiment}", "data.train=x", "output_dir=x")
    codec = instantiate(config.model)
    assert codec.config == dataclasses.replace(PAPER[experiment], name=codec.name)
    assert codec.config.num_codebooks == (16 if is_48khz else 32)
    discriminator = instantiate(config.discriminator, _convert_="all")
    windows = [scale.window_length for scale in discriminator.scales]
    assert windows == [length * (2 if is_48khz else 1) for length in (2048, 1024, 512, 256, 128)]
    assert discriminator.scales[0].convs[0].out_channels == 32
    balancer = instantiate(config.losses.balancer, _convert_="all")
    adversarial = 4.0 if is_48khz else 3.0
    total = 0.1 + 1.0 + 2 * adversarial
    weights = {"l1": 0.1, "mel": 1.0, "adversarial": adversarial, "feature_matching": adversarial}
    assert balancer.shares == pytest.approx({name: weight / total for name, weight in weights.items()})
    losses = instantiate(config.losses.reconstruction, _convert_="all")
    assert [scale.window_length for scale in losses["mel"].scales] == [2**power for power in range(5, 12)]
    assert config.codec_training.discriminator_probability == pytest.approx(0.5 if is_48khz else 2 / 3)
    assert config.losses.commitment_weight == 1.0
    assert config.codec_training.codebook_learning.kmeans_vectors_per_code >= 10
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = instantiate(config[name], _convert_="all")([torch.nn.Parameter(torch.zeros(1))])
        assert isinstance(optimizer, torch.optim.Adam)
        assert optimizer.defaults["lr"] == 3e-4
        assert tuple(optimizer.defaults["betas"]) == (0.5, 0.9)
    assert (config.data.batch_size, config.data.crop_s, config.data.batches_per_epoch) == (64, 1.0, 2000)
    assert config.trainer.max_steps == 300 * config.data.batches_per_epoch


def test_the_bundled_codecs_recipe_has_the_start_that_it_needs():
    config = compose("experiment=lab_24khz", "data.train=x", "output_dir=x")
    codec = instantiate(config.model)
    start_networks_(codec, None, start=config.start, init_from=None, discriminator_settings={})
    assert codec.frame_rate == 75
    assert not config.codec_training.trains_encoder


def test_sample_rate_and_channels_have_one_home():
    config = compose("experiment=tiny", "model.sample_rate_hz=16000", "model.channels=2", "output_dir=x")
    assert (config.data.sample_rate_hz, config.data.channels) == (16_000, 2)
    assert config.losses.reconstruction.mel.sample_rate_hz == 16_000


def test_losses_improved_leave_no_mel_filter_empty():
    config = compose("experiment=speech24k", "losses=improved", "data.train=x", "output_dir=x")
    mel = instantiate(config.losses.reconstruction.mel, _convert_="all")
    assert all(bool((scale.filters.amax(1) > 0).all()) for scale in mel.scales)


def test_without_validation_data(noise_folder, tmp_path):
    settings = [*shrunk(noise_folder), "data.valid=null", f"output_dir={tmp_path}"]
    train(compose("experiment=tiny", *settings))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"last.ckpt", "step_0000002.ckpt"}
    records = read_training_records(tmp_path / "metrics.csv")
    assert [step for step, values in records if "codebook/used/00" in values] == [1]
    assert not (tmp_path / "samples").exists()


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "16", "bf16-true", "64-true"])
def test_float16_is_refused(precision):
    config = compose("experiment=tiny", f"trainer.precision={precision}", "output_dir=x")
    with pytest.raises(ValueError, match=f"trainer.precision={precision}: .* choose bf16-mixed"):
        build_trainer(config)


def test_missing_settings_are_named():
    with pytest.raises(ValueError, match=r"data\.train have no value; give data\.train=…"):
        resolved(compose("experiment=speech24k", "output_dir=x"))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("model.num_filter=2", "model.num_filter"),
        ("modle=encodec_24khz", "modle"),
        ("model=encodec_44khz", "encodec_44khz"),
        ("experiment=tinny", "tinny"),
        ("data.train=/nowhere/at/all", "/nowhere/at/all"),
        ("data.train=???", "data.train"),
        ("data.batch_size=0", "batch size 0"),
        ("model.bandwidths=[0.5]", "bandwidth 0.5 kbps is impossible"),
        ("model.bandwidths=[24,12]", "ascending"),
        ("model.codebook_size=17", "17"),
        ("+model.heads=3", "heads"),
        ("data.speed.factor=[1.1,0.9]", "speed.factor"),
        ("data.equalizer.probability=2", "equalizer.probability"),
        ("data.reverb.rt60_s=[0,1]", "reverb.rt60_s"),
        ("losses.balancer.weights.l1=-1", "-1"),
        ("discriminator.window_lengths=[63]", "63"),
        ("codec_training.average_decay=1.5", "1.5"),
        ("trainer.accelerator=abacus", "abacus"),
        ("trainer.devices=0,1", "trainer.devices=0,1"),
        ("trainer.devices='0,1'", "trainer.devices=[0,1]"),
        ("trainer.devices=0", "trainer.devices=0"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1 is not supported"),
        ("+trainer.accumulate_grad_batches=2", "data.batch_size"),
        ("+codec_training.foo=1", "unexpected keyword argument 'foo'"),
        ("+codec_training.codebook_learning.foo=1", "unexpected keyword argument 'foo'"),
        ("+generator_optimizer.foo=1", "unexpected keyword argument 'foo'"),
        ("codec_training.schedule.warmup_steps=x", "schedule"),
        ("+losses.balancer.weights.foo=1", "the balancer has weights for adversarial, feature_matching, foo"),
        ("ckpt_path=last", "ckpt_path=last"),
        ("ckpt_path=nowhere.ckpt", "nowhere.ckpt"),
        ("output_dir=bad.csv", "bad.csv: File exists"),
        ("data.train=bad.csv", "bad.csv, line 2: not CSV"),
        ("ckpt_path=bad.csv", "ckpt_path=bad.csv: bad.csv cannot be read as a PyTorch file"),
        ("seed=${sead}", "sead"),
    ],
)
def test_a_mistake_is_one_line_before_any_training(
    run_script, noise_folder, tmp_path, capsys, mistake, words
):
    (tmp_path / "bad.csv").write_text("path\n" + "x" * 200_000)
    code = run_script("train.py", "experiment=tiny", *shrunk(noise_folder), mistake)
    said = capsys.readouterr()
    assert code == 1
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert "Traceback" not in said.err + said.out
    files = {path.name for path in tmp_path.rglob("*") if path.is_file() and ".hydra" not in path.parts}
    assert files <= {"train.log", "bad.csv"}


def test_multirun_runs_every_job(run_script, noise_folder, tmp_path):
    settings = [change for change in shrunk(noise_folder) if not change.startswith("model.bandwidths")]
    code = run_script("train.py", "--multirun", "experiment=tiny", *settings, "model.bandwidths=[12],[24]")
    assert code == 0
    bandwidths = []
    for job in ("0", "1"):
        [folder] = tmp_path.glob(f"multirun/tiny/*/{job}")
        checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        assert checkpoint["global_step"] == 2
        assert (folder / "metrics.csv").is_file()
        bandwidths.append(checkpoint["run_config"]["model"]["bandwidths"])
    assert bandwidths == [[12], [24]]


def test_program_with_wandb_offline(noise_folder, tmp_path):
    """As a user types it, in a process of its own; nothing reaches for a network."""
    result = start_program(
        "train.py",
        "experiment=tiny",
        *shrunk(noise_folder),
        "logger=wandb",
        "logger.wandb.offline=true",
        f"hydra.run.dir={tmp_path / 'run'}",
        cwd=tmp_path,
        # A request would fail loudly, and not wait.
        HTTPS_PROXY="http://127.0.0.1:9",
        HTTP_PROXY="http://127.0.0.1:9",
        HOME=str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    for place in ("metrics.csv", "curves.html", "checkpoints", "samples"):
        assert (tmp_path / "run" / place).exists()
        assert str(tmp_path / "run" / place) in result.stderr
    [run] = (tmp_path / "run/wandb").glob("offline-run-*")
    media = run / "files/media"
    assert {path.parent.name for path in media.rglob("*.png")} == {"spectrograms"}
    assert len(list(media.rglob("*.png"))) == 6
    assert len(list(media.rglob("*.wav"))) == 4
    assert b"valid/si_snr_db/24kbps" in next(run.glob("*.wandb")).read_bytes()
