"""Steps without finite gradients are skipped, counted, and end the run; a discriminator that wins is reported."""

import contextlib
import copy
import logging
import math
import statistics

import lightning
import pytest
import torch
from small_training import batches, codec_training, fit
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from encodec_lab.losses import WaveformL1Loss
from encodec_lab.training.codec_module import CodecTraining
from encodec_lab.training.safety_net import DivergedError, SafetyNet, WinningDiscriminator


def with_a_nan(gradient):
    return gradient.masked_fill(torch.arange(gradient.numel()).view_as(gradient) == 0, math.nan)


class PoisonedGradients(CodecTraining):
    """The gradients of `network` hold a NaN at these steps, as after an overflow."""

    network, steps = "codec", ()

    def training_step(self, batch, batch_idx):
        poison = contextlib.nullcontext()
        if self.global_step in self.steps:
            parameter = next(getattr(self, self.network).parameters())
            poison = parameter.register_hook(with_a_nan)
        with poison:
            super().training_step(batch, batch_idx)


def poisoned(network, steps, **changes):
    kind = type("Poisoned", (PoisonedGradients,), {"network": network, "steps": steps})
    return codec_training(kind, **changes)


class States(lightning.Callback):
    """After every step the parameters of both networks, and their optimizers' states."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, module, *_):
        if not self.seen:
            self.on_train_batch_end(trainer, module)

    def on_train_batch_end(self, trainer, module, *_):
        parts = zip((module.codec, module.discriminator), trainer.optimizers, strict=True)
        state = [
            [dict(part.named_parameters()), optimizer.state_dict()["state"]] for part, optimizer in parts
        ]
        self.seen.append(copy.deepcopy(state))


def same(left, right) -> bool:
    try:
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    except AssertionError:
        return False
    return True


OPTIMIZERS = {
    "fused": lambda parameters: torch.optim.Adam(parameters, 1e-3, fused=True),
    "plain": lambda parameters: torch.optim.Adam(parameters, 1e-3),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 1e-3, momentum=0.9, fused=True),
}


@pytest.mark.parametrize("network", ["codec", "discriminator"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_is_skipped_for_the_network_concerned(network, optimizer):
    make = OPTIMIZERS[optimizer]
    module = poisoned(network, (2,), generator_optimizer=make, discriminator_optimizer=make)
    states = States()
    trainer, logger = fit(module, 5, callbacks=[states])
    assert trainer.global_step == 5, "a step that is skipped counts"
    for place, name in enumerate(("codec", "discriminator")):
        moved = [
            not same(before[place], after[place])
            for before, after in zip(states.seen[:-1], states.seen[1:], strict=True)
        ]
        assert moved == [step != 2 or name != network for step in range(5)]
    prefix = "" if network == "codec" else "discriminator_"
    assert logger.values(f"train/{prefix}skipped_steps") == [0, 0, 1, 1, 1]
    assert math.isnan(logger.values(f"train/{prefix}gradient_norm")[2])
    assert all(value.isfinite().all() for value in module.state_dict().values())


def test_too_many_in_a_row_end_the_run():
    module = poisoned("discriminator", (1, 3, 4, 5), max_skipped_steps=3)
    with pytest.raises(
        DivergedError, match=r"the discriminator were not finite at 3 steps in a row, up to step 5; go"
    ):
        fit(module, 9)
    assert module.global_step == 6


def test_counters_go_on_after_a_resume(tmp_path):
    trainer, _ = fit(poisoned("codec", (1, 2), max_skipped_steps=4), 3)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    content = torch.load(tmp_path / "run.ckpt", weights_only=True)
    module = poisoned("codec", (3, 4), max_skipped_steps=4)
    module.on_load_checkpoint(content)
    assert module.safety_net.skipped("codec") == 2
    assert module.safety_net.in_a_row.tolist() == [2, 0]
    assert not [name for name in content["state_dict"] if "safety" in name]
    del content["safety_net"]  # as of a version without one
    codec_training().on_load_checkpoint(content)


def net(winning):
    return SafetyNet(["codec", "discriminator"], 5, winning)


def test_a_discriminator_that_wins_is_reported_once(caplog):
    safety_net = net(WinningDiscriminator(loss=0.1, num_updates=3))
    losses = [0.05, 0.05, 0.2, 0.05, 0.05, 0.05, 0.05, 0.2, 0.05, 0.05, 0.05]
    told = []
    with caplog.at_level(logging.WARNING):
        for step, loss in enumerate(losses):
            safety_net.watch_discriminator(torch.tensor(loss))
            safety_net.check(step)
            told.append(len(caplog.records))
    assert told == [0] * 5 + [1] * 6
    assert "step 5: the discriminator has won, its loss has been below 0.1 for 3 updates" in caplog.text
    restored = net(WinningDiscriminator(loss=0.1, num_updates=3))
    restored.restore(safety_net.state())
    assert restored.has_reported


def test_a_run_watches_its_discriminator(caplog):
    module = codec_training(winning_discriminator=WinningDiscriminator(loss=10.0, num_updates=2))
    with caplog.at_level(logging.WARNING):
        fit(module, 4)
    assert caplog.text.count("the discriminator has won") == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SafetyNet(["codec"], 0, None), "max_skipped_steps must be at least 1, got 0"),
        (lambda: WinningDiscriminator(0.0, 5), "loss must be positive"),
        (lambda: WinningDiscriminator(0.1, 0), "got 0.1 and 0"),
    ],
)
def test_bad_settings(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class CountReads(TorchDispatchMode):
    """Counts what makes the host wait for a device: values read, and shapes that depend on values."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.name() in (
            "aten::_local_scalar_dense",
            "aten::nonzero",
            "aten::is_nonzero",
            "aten::masked_select",
        ):
            self.seen.append(function.name())
        return function(*args, **(kwargs or {}))


class Watched(CodecTraining):
    def training_step(self, batch, batch_idx):
        with CountReads() as reads:
            super().training_step(batch, batch_idx)
        self.reads.append(reads.seen)


def test_nothing_in_a_step_waits_for_the_device():
    module = codec_training(Watched)
    module.reads = []
    # The counters are read by `tolist`, on a GPU at one step of many.
    fit(module, 4, log_every_n_steps=4)
    assert module.reads[0] != [], "k-means starts here, and reads"
    assert module.reads[1:] == [[]] * 3


def test_the_watch_sees_a_read():
    class Reading(nn.Module):
        def forward(self, real, fake):
            loss = WaveformL1Loss()(real, fake)
            return loss if loss.item() > 0 else loss

    module = codec_training(Watched, reconstruction_losses={"l1": Reading(), "mel": WaveformL1Loss()})
    module.reads = []
    fit(module, 3, data=batches(4))
    assert statistics.mode(map(len, module.reads)) == 1
