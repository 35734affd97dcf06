import copy
import math
import statistics

import lightning
import pytest
import torch
from small_training import CONFIG, SLOW_START, VECTORS_PER_STEP, batches, codec_training, fit

from encodec_lab.losses import DiscriminatorHingeLoss
from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.draws import draw_step
from encodec_lab.training.schedule import WarmupCosineSchedule


class Watch(lightning.Callback):
    """Copies the weights of part of the module after every step."""

    def __init__(self, part):
        self.part = part
        self.states = []

    def on_train_start(self, trainer, module):
        self.on_train_batch_end(trainer, module)

    def on_train_batch_end(self, trainer, module, *_):
        self.states.append(copy.deepcopy(getattr(module, self.part).state_dict()))


def changes_at(states) -> list[bool]:
    """For each step whether any weight changed."""
    return [
        any(not torch.equal(before[name], after[name]) for name in before)
        for before, after in zip(states[:-1], states[1:], strict=True)
    ]


class StepsThroughLightning(CodecTraining):
    """Fault 9: the discriminator's optimizer, too, is stepped through Lightning's wrapper."""

    def _step_discriminator(self, reduction):
        super()._step_discriminator(reduction)
        self.optimizers()[1].step()


@pytest.mark.parametrize(
    ("kind", "num_generator_steps"),
    [(CodecTraining, 4), pytest.param(StepsThroughLightning, 2, id="fault 9")],
)
def test_global_step_counts_generator_steps(kind, num_generator_steps):
    watch = Watch("codec")
    trainer, logger = fit(codec_training(kind), 4, callbacks=[watch])
    assert trainer.global_step == 4
    assert changes_at(watch.states) == [True] * num_generator_steps
    assert [step for step, _ in logger.records] == list(range(num_generator_steps))


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_discriminator_is_updated_as_often_as_drawn(probability):
    watch = Watch("discriminator")
    module = codec_training(discriminator_probability=probability)
    _, logger = fit(module, 10, callbacks=[watch])
    drawn = [draw_step(5, step, CONFIG.bandwidths, probability).updates_discriminator for step in range(10)]
    assert changes_at(watch.states) == drawn
    assert sum(drawn) == pytest.approx(10 * probability, abs=2)
    # A step without an update must not repeat the figures of an earlier one.
    norms = logger.values("train/discriminator_gradient_norm")
    assert [math.isfinite(norm) for norm in norms] == drawn


def test_bandwidth_is_drawn_from_the_codecs_set(monkeypatch):
    module = codec_training()
    used = []
    original = module.codec.forward_for_training

    def spy(wav, num_codebooks, draw_seed, **options):
        used.append((num_codebooks, draw_seed))
        return original(wav, num_codebooks, draw_seed, **options)

    monkeypatch.setattr(module.codec, "forward_for_training", spy)
    _, logger = fit(module, 12)
    drawn = logger.values("train/bandwidth_kbps")
    assert set(drawn) == set(CONFIG.bandwidths)
    assert [count for count, _ in used] == [kbps / 12 for kbps in drawn]
    assert len({seed for _, seed in used}) == 12


def test_codebooks_wait_for_their_start():
    module = codec_training(unquantized_steps=3)
    watch = Watch("codec")
    fit(module, 5, callbacks=[watch])
    started = [bool(state["quantizer.vq.layers.0._codebook.inited"]) for state in watch.states]
    assert started == [False] * 4 + [True] * 2


def test_an_encoder_may_stay_as_it_is():
    module = codec_training(trains_encoder=False)
    watch = Watch("codec")
    fit(module, 5, callbacks=[watch])
    first, last = watch.states[0], watch.states[-1]
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert not any(name.startswith("encoder.") for name in changed)
    assert {name for name in first if name.startswith("decoder.")} <= changed
    assert "quantizer.vq.layers.0._codebook.embed" in changed


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def test_the_generators_step_leaves_the_discriminator_alone():
    module = codec_training(discriminator_probability=0.0)
    fit(module, 1)
    assert all(gradient is None for gradient in gradients(module.discriminator).values())
    assert all(gradient is not None for gradient in gradients(module.codec).values())


def test_the_discriminators_step_leaves_the_codec_alone():
    alone, together = codec_training(discriminator_probability=0.0), codec_training()
    fit(alone, 1)
    fit(together, 1)
    torch.testing.assert_close(gradients(together.codec), gradients(alone.codec), rtol=0, atol=0)
    torch.testing.assert_close(together.codec.state_dict(), alone.codec.state_dict(), rtol=0, atol=0)


def test_the_discriminator_learns_from_its_own_loss_only():
    module = codec_training()
    reference = copy.deepcopy(module)
    fit(module, 1)
    [real, _] = batches(2)
    draws = draw_step(5, 0, CONFIG.bandwidths, 1.0)
    fake = reference.codec.train().forward_for_training(
        real, reference.codec.num_codebooks_for(draws.bandwidth_kbps), draws.codebook_seed
    )
    fake_outputs = reference.discriminator(fake.reconstruction.detach())
    DiscriminatorHingeLoss()(reference.discriminator(real), fake_outputs).backward()
    torch.testing.assert_close(gradients(module.discriminator), gradients(reference.discriminator))


def test_gradients_are_of_one_step():
    """With all weights standing still and no codebooks yet, every step is the same."""
    module = codec_training(codebook_learning=SLOW_START, schedule=lambda step: 0.0)
    _, logger = fit(module, 4, data=batches(1) * 4)
    for name in ("train/gradient_norm", "train/discriminator_gradient_norm"):
        norms = logger.values(name)
        assert len(norms) == 4
        assert norms == pytest.approx([norms[0]] * 4, rel=1e-3)


def test_the_commitment_reaches_the_encoder_past_the_balancer():
    with_it, without = codec_training(commitment_weight=1000.0), codec_training(commitment_weight=0.0)
    fit(with_it, 1)
    fit(without, 1)
    differing = {
        name.split(".")[0]
        for name, gradient in gradients(with_it.codec).items()
        if not torch.equal(gradient, gradients(without.codec)[name])
    }
    assert differing == {"encoder"}


def test_a_gradient_that_is_not_finite_changes_no_weight():
    watch = Watch("codec")
    module = codec_training(commitment_weight=math.inf)
    _, logger = fit(module, 3, callbacks=[watch])
    assert not any(math.isfinite(norm) for norm in logger.values("train/gradient_norm"))
    for name, _ in module.codec.named_parameters():
        assert torch.equal(watch.states[-1][name], watch.states[0][name])
    assert all(value.isfinite().all() for value in module.state_dict().values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"discriminator_probability": 1.5}, r"discriminator_probability must be in \[0, 1\], got 1\.5"),
        ({"commitment_weight": -1.0}, "commitment_weight must not be negative, got -1"),
    ],
)
def test_bad_settings(change, words):
    with pytest.raises(ValueError, match=words):
        codec_training(**change)


def test_it_learns():
    module = codec_training(generator_optimizer=lambda parameters: torch.optim.Adam(parameters, 1e-2))
    tone = 0.1 * torch.sin(torch.arange(240) / 5).expand(2, 1, -1)
    _, logger = fit(module, 40, data=[tone] * 40)
    errors = logger.values("train/l1")
    assert errors[-1] < 0.7 * errors[0]


def test_the_average_follows_the_codec():
    codec_watch, average_watch = Watch("codec"), Watch("average")
    module = codec_training(average_decay=0.3)
    parameter_names = {name for name, _ in module.codec.named_parameters()}
    fit(module, 5, callbacks=[codec_watch, average_watch])
    expected = codec_watch.states[0]
    for step, state in enumerate(codec_watch.states[1:]):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = {
            name: decay * expected[name] + (1 - decay) * value if name in parameter_names else value
            for name, value in state.items()
        }
    actual = {name.removeprefix("codec."): value for name, value in average_watch.states[-1].items()}
    torch.testing.assert_close(actual, expected)
    assert actual["quantizer.vq.layers.0._codebook.inited"] == 1


def test_what_is_logged_of_a_step():
    _, logger = fit(codec_training(), 2)
    losses = {"l1", "mel", "adversarial", "feature_matching"}
    train = losses | {"commitment", "discriminator", "gradient_norm", "discriminator_gradient_norm"}
    train |= {"learning_rate", "bandwidth_kbps", "skipped_steps", "discriminator_skipped_steps"}
    expected = {f"train/{name}" for name in train}
    expected |= {f"balancer/{kind}/{name}" for kind in ("norm", "ratio") for name in losses}
    for _, values in logger.records:
        assert values.keys() - {"epoch"} == expected
        assert all(math.isfinite(value) for value in values.values())
        assert values["train/gradient_norm"] > 0
        ratios = [values[f"balancer/ratio/{name}"] for name in losses]
        assert statistics.fsum(ratios) == pytest.approx(1.0)


def test_learning_rates_hang_on_the_generators_step():
    schedule = WarmupCosineSchedule(warmup_steps=3, total_steps=8, final_factor=0.1)

    class Rates(lightning.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, module, *_):
            self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    rates = Rates()
    module = codec_training(
        schedule=schedule,
        discriminator_optimizer=lambda parameters: torch.optim.Adam(parameters, 3e-3),
    )
    _, logger = fit(module, 8, callbacks=[rates])
    assert rates.seen == [[1e-3 * schedule(step), 3e-3 * schedule(step)] for step in range(8)]
    assert logger.values("train/learning_rate") == pytest.approx([1e-3 * schedule(step) for step in range(8)])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_precision(precision):
    """Fault 7: autocast must not reach the quantiser."""
    module = codec_training()
    _, logger = fit(module, 4, precision=precision)
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert all(math.isfinite(loss) for loss in logger.values("train/mel"))


def test_checkpoint_holds_the_configuration_and_plain_values_only(tmp_path):
    module = codec_training(codebook_learning=SLOW_START)
    trainer, _ = fit(module, 2)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    content = torch.load(tmp_path / "run.ckpt", weights_only=True)
    assert content["run_config"] == module.run_config
    assert content["global_step"] == 2
    assert [vectors.shape for vectors in content["gathered_vectors"]] == [(VECTORS_PER_STEP, 8)] * 2
    module.check_continues(content)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        (
            "model",
            {"latent_dim": 4, "strides": [8]},
            r"model; it differs in latent_dim \(4 there, 8 here\), strides",
        ),
        (
            "discriminator",
            {"num_filters": 3},
            r"discriminator; it differs in num_filters \(3 there, 2 here\)$",
        ),
    ],
)
def test_a_checkpoint_of_other_networks(part, changes, words):
    module = codec_training()
    theirs = copy.deepcopy(module.run_config)
    theirs[part] |= changes
    with pytest.raises(ValueError, match=words):
        module.check_continues({"run_config": theirs})
    with pytest.raises(ValueError, match="not written by"):
        module.check_continues({"state_dict": {}})
