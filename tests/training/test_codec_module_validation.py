"""What `CodecTraining` does at a validation."""

import copy
import dataclasses
import math

import lightning
import pytest
import torch
from small_training import CONFIG, SLOW_START, VECTORS_PER_STEP, clips, codec_training, fit

from encodec_lab.models.encodec import EncodecModel
from encodec_lab.training.validation import reconstruct_at_every_bandwidth


class ValidationWatch(lightning.Callback):
    """Compares the module's state before and after every validation."""

    def __init__(self):
        self.num_validations = 0

    def on_validation_start(self, trainer, module):
        self.before = copy.deepcopy(module.state_dict())

    def on_validation_end(self, trainer, module):
        self.num_validations += 1
        for name, value in module.state_dict().items():
            if name != "codebook_usage.counts":
                assert torch.equal(value, self.before[name]), name


@pytest.mark.parametrize("num_sanity_val_steps", [0, 1])
def test_validation_changes_nothing(num_sanity_val_steps):
    """Fault 4: the sanity check would start codebooks on validation data."""
    watch = ValidationWatch()
    module = codec_training()
    fit(module, 3, validate_every=1, callbacks=[watch], num_sanity_val_steps=num_sanity_val_steps)
    assert watch.num_validations == 3 + num_sanity_val_steps
    assert module.codec.quantizer.started
    assert not module.average.codec.training


def test_validation_before_the_start_of_codebooks_logs_nothing():
    watch = ValidationWatch()
    module = codec_training(codebook_learning=SLOW_START)
    _, logger = fit(module, 2, validate_every=1, callbacks=[watch], num_sanity_val_steps=1)
    assert watch.num_validations == 3
    assert not module.codec.quantizer.started
    assert len(module.codec.quantizer.gathered_vectors()) == 2
    assert {name.split("/")[0] for _, values in logger.records for name in values} == {
        "epoch",
        "train",
        "balancer",
    }


def test_validation_scores_the_average():
    module = codec_training()
    fit(module, 2)
    with torch.no_grad():
        for parameter in module.codec.parameters():
            parameter.zero_()
    wav, names = clips(1)[0]
    clip = module.validation_step((wav, names), 0)
    expected = reconstruct_at_every_bandwidth(module.average.codec, wav, names[0])
    assert clip.name == "clip0"
    assert clip.reconstructions.keys() == set(CONFIG.bandwidths)
    torch.testing.assert_close(clip.reconstructions, expected.reconstructions, rtol=0, atol=0)
    assert clip.reconstructions[12.0].std() > 1e-6


def test_scores_are_logged_for_every_bandwidth():
    _, logger = fit(codec_training(), 4, validate_every=2)
    for metric in ("si_snr_db", "mel_distance"):
        for kbps in ("12kbps", "24kbps", "36kbps"):
            values = logger.values(f"valid/{metric}/{kbps}")
            assert len(values) == 2
            assert all(math.isfinite(value) for value in values)
    assert logger.values("valid/not_scored") == [0, 0]


def test_codebook_usage_is_logged():
    one_bandwidth = EncodecModel(dataclasses.replace(CONFIG, bandwidths=(36.0,)))
    module = codec_training(codec=one_bandwidth)
    _, logger = fit(module, 7, validate_every=3)
    for k in range(3):
        used = logger.values(f"codebook/used/{k:02d}")
        perplexities = logger.values(f"codebook/perplexity/{k:02d}")
        assert len(used) == len(perplexities) == 2
        for share, perplexity in zip(used, perplexities, strict=True):
            assert 0.25 < share <= 1
            assert 2 < perplexity <= 16 * share
    # The last validation, which starts counting anew, was one step ago.
    assert module.codebook_usage.counts.sum(1).tolist() == [VECTORS_PER_STEP] * 3
