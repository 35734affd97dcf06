"""What a run starts from (`init_from`), and runs without an adversary, which a first phase is for."""

from pathlib import Path

import lightning
import pytest
import torch
from hydra.utils import instantiate
from small_run import compose, shrunk

from encodec_lab import EncodecModel, load_model
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.training.config import resolved
from encodec_lab.training.export import export_checkpoint
from encodec_lab.training.run import build_module, train
from encodec_lab.training.trained_codec import load_trained_codec

ALONE = ["discriminator=none"]


def overrides(noise_folder: Path, output_dir: Path, *more: str) -> list[str]:
    settings = [
        *shrunk(noise_folder),
        "~callbacks.samples",
        "~callbacks.reporter",
        f"output_dir={output_dir}",
    ]
    if "discriminator=none" in more:
        settings = [setting for setting in settings if not setting.startswith("discriminator.")]
    return ["experiment=tiny", *settings, *more]


def module_of(noise_folder: Path, *more: str):
    """What would be trained, before its first step."""
    config = compose(*overrides(noise_folder, Path("x"), *more))
    return build_module(config, resolved(config), instantiate(config.model), starts_anew=True)


@pytest.fixture(scope="module")
def with_adversary(noise_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("with_adversary")
    return train(compose(*overrides(noise_folder, folder))).lightning_module, folder / "checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def alone(noise_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    module = train(compose(*overrides(noise_folder, folder, *ALONE))).lightning_module
    return module, folder / "checkpoints/last.ckpt"


def test_a_run_without_an_adversary(alone):
    module, checkpoint = alone
    assert module.discriminator is None
    shares = module.balancer.shares
    assert shares == pytest.approx({"l1": 0.5, "mel": 0.5}), "the remaining weights share the whole gradient"
    [(_, first), *_] = read_training_records(checkpoint.parents[1] / "metrics.csv")
    assert "train/l1" in first
    assert not [name for name in first if "adversarial" in name or "discriminator" in name]
    content = torch.load(checkpoint, weights_only=True)
    assert len(content["optimizer_states"]) == 1
    assert not [name for name in content["state_dict"] if name.startswith("discriminator")]


def test_a_run_without_an_adversary_is_resumed_bit_for_bit(noise_folder, tmp_path):
    def run(folder: Path, *more: str) -> lightning.LightningModule:
        settings = overrides(noise_folder, folder, *ALONE, "codec_training.schedule.total_steps=4")
        return train(compose(*settings, *more)).lightning_module

    unbroken = run(tmp_path / "unbroken", "trainer.max_steps=4")
    run(tmp_path / "stopped", "trainer.max_steps=2")
    resumed = run(tmp_path / "stopped", "trainer.max_steps=4", "ckpt_path=last")
    torch.testing.assert_close(resumed.state_dict(), unbroken.state_dict(), rtol=0, atol=0)


def test_a_run_without_an_adversary_is_not_resumed_with_one(alone, noise_folder, tmp_path):
    with pytest.raises(ValueError, match="another discriminator"):
        train(compose(*overrides(noise_folder, tmp_path, f"ckpt_path={alone[1]}")))


def test_start_from_a_checkpoint(with_adversary, noise_folder):
    earlier, checkpoint = with_adversary
    module = module_of(noise_folder, f"init_from={checkpoint}")
    expected = earlier.average.codec.state_dict()
    torch.testing.assert_close(module.codec.state_dict(), expected, rtol=0, atol=0)
    torch.testing.assert_close(module.average.codec.state_dict(), expected, rtol=0, atol=0)
    torch.testing.assert_close(
        module.discriminator.state_dict(), earlier.discriminator.state_dict(), rtol=0, atol=0
    )
    assert module.codec.quantizer.started
    assert expected["quantizer.vq.layers.0._codebook.cluster_size"].sum() > 1, "statistics are kept"
    weight = "decoder.model.0.conv.conv.weight_v"
    assert not torch.equal(expected[weight], earlier.codec.state_dict()[weight]), (
        "the average is something else"
    )


def test_start_from_an_export(with_adversary, noise_folder, tmp_path):
    earlier, checkpoint = with_adversary
    export_checkpoint(checkpoint, tmp_path / "exported", "renamed")
    module = module_of(noise_folder, f"init_from={tmp_path / 'exported'}")
    expected = earlier.average.codec.state_dict()
    torch.testing.assert_close(module.codec.state_dict(), expected, rtol=0, atol=0)
    assert module.codec.name == "tiny"
    assert not all(
        torch.equal(value, earlier.discriminator.state_dict()[name])
        for name, value in module.discriminator.state_dict().items()
    )
    biases = [value for name, value in module.discriminator.named_parameters() if name.endswith("bias")]
    assert not any(bool(bias.any()) for bias in biases), "it starts as the discriminator of a new run does"


def test_start_from_weights_as_meta_publishes_them(tmp_path, noise_folder):
    """A state dict of the published architecture in a .th file; the discriminator starts as a new run's does."""
    torch.manual_seed(0)
    published = EncodecModel.encodec_model_24khz(pretrained=False)
    for codebook in published.quantizer.codebooks:
        codebook.start(torch.randn(1024, 128), torch.ones(1024), 1024)
    torch.save(published.state_dict(), tmp_path / "encodec_24khz-0a0a0a0a.th")
    config = compose(
        "experiment=speech24k",
        f"data.train={noise_folder / 'train'}",
        f"init_from={tmp_path / 'encodec_24khz-0a0a0a0a.th'}",
        "output_dir=x",
    )
    module = build_module(config, resolved(config), instantiate(config.model), starts_anew=True)
    torch.testing.assert_close(module.codec.state_dict(), published.state_dict(), rtol=0, atol=0)
    assert module.codec.quantizer.started
    assert module.codec.name == "speech24k"
    assert module.discriminator is not None


def test_two_phases(alone, noise_folder, tmp_path):
    """First without an adversary, then with one from its first weights: a new run from step 0."""
    earlier, checkpoint = alone
    always = "codec_training.discriminator_probability=1"
    settings = overrides(noise_folder, tmp_path / "second", f"init_from={checkpoint}", always)
    trainer = train(compose(*settings))
    assert trainer.global_step == 2
    module = trainer.lightning_module
    records = read_training_records(tmp_path / "second/metrics.csv")
    assert [step for step, values in records if "train/discriminator" in values] == [0, 1]
    assert module.run_config["init_from"] == str(checkpoint)
    # No k-means again: the codebooks have moved a little from the earlier ones.
    before = earlier.codec.quantizer.codebooks[0].embed
    after = module.codec.quantizer.codebooks[0].embed
    assert 0 < (after - before).norm() < 0.5 * before.norm()
    trained = load_trained_codec(tmp_path / "second/checkpoints/last.ckpt")
    assert trained.discriminator.keys() == module.discriminator.state_dict().keys()
    # Resumed, the earlier weights need not be there any more.
    settings = overrides(noise_folder, tmp_path / "second", "init_from=gone.ckpt", "ckpt_path=last")
    assert train(compose(*settings, "trainer.max_steps=3")).global_step == 3


def test_a_discriminator_of_other_settings_starts_anew(with_adversary, noise_folder):
    _, checkpoint = with_adversary
    module = module_of(noise_folder, f"init_from={checkpoint}", "discriminator.num_filters=3")
    assert module.discriminator.scales[0].convs[0].out_channels == 3


def test_other_bandwidths_of_the_same_codebooks(with_adversary, noise_folder):
    _, checkpoint = with_adversary
    module = module_of(noise_folder, f"init_from={checkpoint}", "model.bandwidths=[24]", "model.name=other")
    assert module.codec.target_bandwidths == [24]


def test_weights_without_statistics(with_adversary, noise_folder, tmp_path, monkeypatch):
    earlier, checkpoint = with_adversary
    export_checkpoint(checkpoint, tmp_path / "exported")
    bare = load_model(tmp_path / "exported")
    for codebook in bare.quantizer.codebooks:
        codebook.inited.zero_()
        codebook.cluster_size.zero_()
        codebook.embed_avg.zero_()
    monkeypatch.setattr("encodec_lab.training.start.load_model", lambda _: bare)
    module = module_of(noise_folder, f"init_from={tmp_path / 'exported'}")
    assert module.codec.quantizer.started
    for codebook, theirs in zip(
        module.codec.quantizer.codebooks, earlier.codec.quantizer.codebooks, strict=True
    ):
        before = codebook.embed.clone()
        torch.testing.assert_close(before, theirs.embed, rtol=0, atol=0)
        counts = torch.ones_like(codebook.cluster_size)
        codebook.update(counts, before * counts.unsqueeze(1), torch.full_like(before, 100.0))
        torch.testing.assert_close(codebook.embed, before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.latent_dim=4", r"another architecture, it differs in latent_dim \(8 there, 4 here\)$"),
        ("model.bandwidths=[12]", r"another architecture, it differs in num_codebooks \(2 there, 1 here\)$"),
        ("init_from=nowhere.ckpt", "init_from=nowhere.ckpt: .*neither"),
    ],
)
def test_what_cannot_be_started_from(with_adversary, noise_folder, tmp_path, change, message):
    _, checkpoint = with_adversary
    with pytest.raises(ValueError, match=message):
        train(compose(*overrides(noise_folder, tmp_path / "run", f"init_from={checkpoint}", change)))
    assert not (tmp_path / "run").exists()


def test_a_start_that_there_is_not(noise_folder):
    with pytest.raises(
        ValueError,
        match="start=warm: use one of signal_preserving, block_transform, transform_voc",
    ):
        module_of(noise_folder, "start=warm")


def test_a_start_as_a_transform_and_vocoder(noise_folder):
    module = module_of(
        noise_folder,
        "start=transform_vocoder",
        "model.num_filters=16",
        "model.strides=[2,4,5,8,1]",
        "model.bandwidths=[1.5]",
        "model.latent_dim=32",
        "model.num_lstm_layers=0",
        "model.compress=1",
    )
    wav = 0.1 * torch.sin(2 * torch.pi * 300 / 24_000 * torch.arange(3_200))[None, None]
    with torch.no_grad():
        error = module.codec.decoder(module.codec.encoder(wav)) - wav
    assert error.square().sum() < 0.03 * wav.square().sum()


def test_a_start_as_a_transform(noise_folder):
    module = module_of(noise_folder, "start=block_transform", "model.num_lstm_layers=0")
    wav = 0.1 * torch.randn(1, 1, 3_200)  # a block of 8 samples has 8 coefficients: nothing is left out
    with torch.no_grad():
        error = module.codec.decoder(module.codec.encoder(wav)) - wav
    assert error.square().sum() < 0.03 * wav.square().sum()
