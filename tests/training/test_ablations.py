"""Each ablation leaves out what it says, and a sweep over them ends in one table."""

import csv
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from small_run import REPOSITORY, compose, shrunk

from encodec_lab.quantization.codebook import EmaCodebook
from encodec_lab.training.config import resolved
from encodec_lab.training.export import export_checkpoint
from encodec_lab.training.run import build_module, train
from encodec_lab.training.trained_codec import load_trained_codec

ABLATIONS = sorted(path.stem for path in (REPOSITORY / "configs/ablation").glob("*.yaml"))


def overrides(noise_folder, ablation, *more):
    settings = shrunk(noise_folder)
    if ablation == "one_scale":  # its window is the ablation; crops of 2,400 samples hold it
        settings = [setting for setting in settings if "discriminator.window" not in setting]
        settings += ["data.crop_s=0.1"]
    return ["experiment=tiny", f"ablation={ablation}", *settings, "~callbacks.samples", *more]


@pytest.fixture
def module_of(noise_folder, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)

    def build(ablation, *more):
        config = compose(*overrides(noise_folder, ablation, "output_dir=x", *more))
        return build_module(
            config, resolved(config), instantiate(config.model, _convert_="all"), starts_anew=True
        )

    return build


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_it_trains_and_is_exported(ablation, noise_folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)
    trainer = train(compose(*overrides(noise_folder, ablation, f"output_dir={tmp_path / 'run'}")))
    assert trainer.global_step == 2
    export_checkpoint(tmp_path / "run/checkpoints/last.ckpt", tmp_path / "codec", "renamed")


def test_none_is_the_experiment_itself(noise_folder):
    plain = overrides(noise_folder, "none", "output_dir=x")
    assert compose(*plain) == compose(*(setting for setting in plain if not setting.startswith("ablation")))


def test_no_balancer(module_of):
    balancer = module_of("no_balancer").balancer
    output = torch.randn(2, 1, 50, requires_grad=True)
    losses = {name: scale * (output**2).mean() for scale, name in enumerate(balancer.weights, start=1)}
    expected = sum(weight * losses[name] for name, weight in balancer.weights.items())
    (gradient,) = torch.autograd.grad(expected, [output], retain_graph=True)
    torch.testing.assert_close(balancer(losses, output).gradient, gradient)
    assert module_of("none").balancer.enabled


def test_no_ms_stft(module_of):
    module = module_of("no_ms_stft")
    assert module.discriminator is None
    assert not {"adversarial", "feature_matching"} & module.balancer.shares.keys()


def test_one_scale(module_of):
    assert module_of("one_scale").discriminator.window_lengths == [1024]


def test_quantizer_dropout(module_of):
    """Two codebooks of 12 kbps each."""
    assert module_of("none", "model.bandwidths=[24]").drawn_bandwidths == [24]
    assert module_of("quantizer_dropout", "model.bandwidths=[24]").drawn_bandwidths == [12, 24]


def test_faulty_rvq(module_of, noise_folder, tmp_path, monkeypatch):
    codebook = module_of("faulty_rvq").codec.quantizer.codebooks[0]
    assert type(codebook) is not EmaCodebook
    codebook.start(torch.arange(16.0).repeat(8, 1).T, torch.full((16,), 10.0), 160)
    before = codebook.embed.clone()
    codebook.update(torch.full((16,), 10.0), 10 * before, torch.zeros_like(before))
    assert (codebook.embed.norm() < 0.5 * before.norm()).item(), "k-means is lost (fault 2)"
    config = compose(*overrides(noise_folder, "faulty_rvq", f"output_dir={tmp_path}"))
    train(config)
    trained = load_trained_codec(tmp_path / "checkpoints/last.ckpt")
    assert {type(codebook) for codebook in trained.codec.quantizer.codebooks} == {EmaCodebook}


def test_a_sweep_ends_in_a_table(noise_folder, run_script, tmp_path, capfd):
    settings = [
        setting for setting in overrides(noise_folder, "none,no_balancer") if "window_lengths" not in setting
    ]
    arguments = ["--multirun", *settings, "data.crop_s=0.1", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    assert run_script("train.py", *arguments) == 0
    with (tmp_path / "sweep/summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["job"], row["settings"], row["step"]) for row in rows] == [
        ("0", "ablation=none", "2"),
        ("1", "ablation=no_balancer", "2"),
    ]
    assert all(float(row["si_snr_db/24kbps"]) < 100 for row in rows)
    assert f"summary      {Path(tmp_path) / 'sweep/summary.csv'}" in capfd.readouterr().err
