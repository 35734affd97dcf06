"""bf16-mixed and compile=true train what single precision does, nearly."""

import shutil
import statistics

import pytest
import torch
from small_run import compose, shrunk
from small_training import codec_training, fit
from torch._dynamo.utils import counters

from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.training.run import train

pytestmark = pytest.mark.slow
# How far the means of 50 steps may lie apart, as a share. Of the mel loss another seed changes 5 %; feature maps, of
# eight bits in bf16, are the first to tell.
BANDS = {"l1": 0.03, "mel": 0.05, "adversarial": 0.01, "discriminator": 0.01, "feature_matching": 0.15}


def tones(num_batches):
    """Tones in a little noise: something to learn."""
    generator = torch.Generator().manual_seed(3)
    batches = []
    for _ in range(num_batches):
        frequencies, phases = (torch.rand(2, 1, 1, generator=generator) for _ in range(2))
        tone = torch.sin(torch.arange(240) * (0.05 + 0.3 * frequencies) + 6 * phases)
        batches.append(0.2 * tone + 0.01 * torch.randn(2, 1, 240, generator=generator))
    return batches


def test_200_steps_in_bf16_track_single_precision():
    data = tones(200)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        _, logger = fit(codec_training(), 200, data=data, precision=precision)
        losses.append({name: logger.values(f"train/{name}") for name in BANDS})
    single, mixed = losses
    assert single["mel"] != mixed["mel"], "they are two precisions"
    for start in range(0, 200, 50):
        for name, band in BANDS.items():
            means = [statistics.fmean(values[name][start : start + 50]) for values in (single, mixed)]
            assert means[1] == pytest.approx(means[0], rel=band), (name, start)
    assert statistics.fmean(single["mel"][-50:]) < 0.6 * statistics.fmean(single["mel"][:20]), "they learn"


@pytest.mark.filterwarnings("ignore")  # as it compiles, torch warns of itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_codec_trains_alike(noise_folder, tmp_path):
    losses, num_graphs = [], []
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        smallest = ["model.strides=[8]", "model.num_lstm_layers=0", "trainer.max_steps=3"]
        settings = [
            "experiment=tiny",
            *shrunk(noise_folder),
            *smallest,
            "data.valid=null",
            "~callbacks.samples",
        ]
        counters.clear()
        train(compose(*settings, f"compile={compiled}", f"output_dir={tmp_path / name}"))
        num_graphs.append(counters["stats"]["unique_graphs"])
        records = read_training_records(tmp_path / name / "metrics.csv")
        losses.append([values["train/mel"] for _, values in records if "train/mel" in values])
    assert num_graphs[0] == 0 < num_graphs[1]
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    content = torch.load(tmp_path / "compiled/checkpoints/last.ckpt", weights_only=True)
    assert not [name for name in content["state_dict"] if "_orig_mod" in name]
