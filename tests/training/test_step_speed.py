"""The step that ours is timed beside is the same step, and what is timed is what is said."""

import time

import pytest
import torch
from hydra.utils import instantiate
from small_run import compose
from small_training import fit

from encodec_lab.evaluation.reference_step import ReferenceStep, reference_parameter
from encodec_lab.training import step_speed
from encodec_lab.training.config import resolved
from encodec_lab.training.draws import draw_step
from encodec_lab.training.run import build_module

pytestmark = pytest.mark.slow  # the architecture is the published one

CROP_S = 0.1


def configured(*more):
    overrides = [f"data.crop_s={CROP_S}", "data.batch_size=1", "output_dir=x", *more]
    return compose(*overrides, root="bench_training")


def test_the_references_modules_take_the_same_step(reference_package):
    # The reference's commitment reaches the encoder from the first codebook only (fault 3).
    config = configured("losses.commitment_weight=0", "codec_training.discriminator_probability=1")
    torch.manual_seed(0)
    module = build_module(
        config, resolved(config), instantiate(config.model, _convert_="all"), starts_anew=True
    )
    step_speed._start_codebooks(module)
    twin = step_speed._reference_step(reference_package, config, module)
    batch = 0.1 * torch.randn(1, 1, 2_400)
    draws = draw_step(config.seed, 0, module.codec.target_bandwidths, 1.0)
    theirs = twin(batch, draws.bandwidth_kbps, updates_discriminator=True)
    _, logger = fit(module, 1, data=[batch, batch])
    ours = {name: logger.values(f"train/{name}")[0] for name in theirs}
    # Of the commitment the reference takes the mean over the codebooks as well.
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert_same_gradients(module.codec, twin.codec, lambda name: name)
    assert_same_gradients(module.discriminator, twin.discriminator, reference_parameter)


def assert_same_gradients(mine, other, translate):
    theirs = dict(other.named_parameters())
    shared = [(name, p.grad) for name, p in mine.named_parameters() if translate(name) in theirs]
    assert len(shared) > 50
    for name, gradient in shared:
        expected = theirs[translate(name)].grad
        assert (gradient - expected).norm() <= 1e-3 * expected.norm() + 1e-7, name


def test_what_is_timed(reference_package, monkeypatch):
    take_step = ReferenceStep.__call__
    spent_s = 2.0

    def slow_step(self, *arguments):
        until_s = time.process_time() + spent_s
        while time.process_time() < until_s:
            pass
        return take_step(self, *arguments)

    monkeypatch.setattr(ReferenceStep, "__call__", slow_step)
    config = configured("trainer.max_steps=6", "codec_training.discriminator_probability=0.5")
    kinds = [
        draw_step(config.seed, step, config.model.bandwidths, 0.5).updates_discriminator for step in range(6)
    ]
    speed = step_speed.measure_training(config, reference_package)
    assert (speed.generator.num_steps, speed.both.num_steps) == (
        kinds.count(False) - 1,
        kinds.count(True) - 1,
    )
    for step in (speed.generator, speed.both):
        assert step.theirs_s > spent_s > step.ours_s > 0
        assert step.ratio == pytest.approx(step.theirs_s / step.ours_s, rel=0.5)
    assert speed.ratio == pytest.approx(
        (speed.generator.theirs_s + speed.both.theirs_s) / (speed.generator.ours_s + speed.both.ours_s)
    )
    assert speed.audio_s_per_s > CROP_S / spent_s, "the reference's steps do not count"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("trainer.max_steps=1", r"too few steps to time: raise trainer\.max_steps"),
        ("num_threads=2", "times are of one thread of the CPU"),
    ],
)
def test_what_cannot_be_timed(change, words):
    with pytest.raises(ValueError, match=words):
        step_speed.measure_training(configured(change), None)
