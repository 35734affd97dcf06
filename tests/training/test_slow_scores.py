"""Slow metrics on some clips at some validations, without the training waiting for them."""

import dataclasses
import threading
import time

import hydra
import pytest
import torch
from small_run import compose
from small_training import codec_training, fit

from encodec_lab.evaluation import scored_metrics
from encodec_lab.metrics import stoi
from encodec_lab.training import slow_scores
from encodec_lab.training.slow_scores import SlowScores
from encodec_lab.training.validation import ValidationClip


class Stopped:
    """As much of a trainer as the callback looks at; keeps what is logged."""

    is_global_zero = True
    sanity_checking = False

    def __init__(self):
        self.global_step = 0
        self.loggers = [self]
        self.logged = []

    def log_metrics(self, values, step):
        self.logged.append((step, values))


def noisy_clip(seed: int) -> ValidationClip:
    draws = torch.Generator().manual_seed(seed)
    original, noise = torch.randn(2, 1, 24_000, generator=draws) * 0.1
    return ValidationClip(f"clip{seed}", 24_000, original, {6.0: original + noise, 1.5: original + 2 * noise})


def validate(callback, trainer, num_clips):
    trainer.global_step += 10
    clips = [noisy_clip(seed) for seed in range(num_clips)]
    for index, clip in enumerate(clips):
        callback.on_validation_batch_end(trainer, None, clip, None, index)
    callback.on_validation_end(trainer, None)
    return clips


def test_means_of_the_first_clips_at_every_nth_validation():
    callback, trainer = SlowScores(["stoi"], 2, 2), Stopped()
    for _ in range(4):
        clips = validate(callback, trainer, 3)
    callback.on_train_end(trainer, None)
    expected = {
        f"valid/stoi/{kbps:g}kbps": sum(
            stoi(clip.original, clip.reconstructions[kbps], 24_000) for clip in clips[:2]
        )
        / 2
        for kbps in (6.0, 1.5)
    }
    assert [step for step, _ in trainer.logged] == [19, 39]
    assert trainer.logged[0][1] == trainer.logged[1][1] == pytest.approx(expected)


def test_training_goes_on_meanwhile(monkeypatch):
    go_on = threading.Event()
    waits = dataclasses.replace(scored_metrics.STOI, function=lambda *_: go_on.wait(30) and 0.5)
    monkeypatch.setattr(slow_scores, "METRICS_WITH_VISQOL", (waits,))
    callback, trainer = SlowScores(["stoi"], 1, 1), Stopped()
    validate(callback, trainer, 1)
    callback.on_train_batch_end(trainer, None, None, None, 0)
    assert trainer.logged == []
    trainer.global_step = 15
    go_on.set()
    while not trainer.logged:
        callback.on_train_batch_end(trainer, None, None, None, 0)
        time.sleep(0.01)
    assert trainer.logged == [(9, {"valid/stoi/6kbps": 0.5, "valid/stoi/1.5kbps": 0.5})]


def test_after_an_exception_no_further_clip_is_scored(monkeypatch):
    go_on, calls = threading.Event(), []
    waits = dataclasses.replace(scored_metrics.STOI, function=lambda *_: calls.append(go_on.wait(30)) or 0.5)
    monkeypatch.setattr(slow_scores, "METRICS_WITH_VISQOL", (waits,))
    callback, trainer = SlowScores(["stoi"], 1, 3), Stopped()
    validate(callback, trainer, 3)
    callback.on_exception(trainer, None, KeyboardInterrupt())
    go_on.set()
    callback._thread.shutdown(wait=True)
    assert len(calls) <= 2  # one clip, at two bandwidths


def test_a_resumed_run_counts_on():
    callback = SlowScores(["stoi"], 3, 1)
    validate(callback, Stopped(), 1)
    resumed, trainer = SlowScores(["stoi"], 3, 1), Stopped()
    resumed.load_state_dict(callback.state_dict())
    validate(resumed, trainer, 1)
    validate(resumed, trainer, 1)
    resumed.on_train_end(trainer, None)
    assert [step for step, _ in trainer.logged] == [19]


def test_other_ranks_and_the_sanity_check_score_nothing():
    for name, value in (("is_global_zero", False), ("sanity_checking", True)):
        callback, trainer = SlowScores(["stoi"], 1, 1), Stopped()
        setattr(trainer, name, value)
        validate(callback, trainer, 1)
        callback.on_train_end(trainer, None)
        assert trainer.logged == []


def test_in_a_training_it_logs_at_the_step_of_the_validation():
    _, logger = fit(codec_training(), 4, validate_every=2, callbacks=[SlowScores(["mel_distance"], 2, 1)])
    steps = [step for step, values in logger.records if "valid/mel_distance/12kbps" in values]
    assert len(steps) == 3  # twice by every validation, and once by the callback
    assert steps[1] == steps[2]


def test_its_configuration_builds_it():
    config = compose("experiment=tiny", "callbacks=slow_scores")
    callback = hydra.utils.instantiate(config.callbacks.slow_scores, _convert_="all")
    assert [metric.name for metric in callback.metrics] == ["pesq", "stoi"]
    assert set(config.callbacks) > {"checkpoint", "samples", "reporter"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["mos"], 1, 1), "metrics"),
        (([], 1, 1), "metrics"),
        ((["pesq"], 0, 1), "0 and 1"),
        ((["pesq"], 1, 0), "1 and 0"),
    ],
)
def test_impossible_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlowScores(*arguments)
