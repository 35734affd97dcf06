"""Speed of training beside a step of the reference's modules, on one thread: python recipes/bench_training.py.

Seconds are of the processor, not of the clock.

The reference package is read from .venv/reference, where `make test` puts it, and left out otherwise. At 48 kHz:
    python recipes/bench_training.py model=encodec_48khz discriminator=ms_stft_48khz losses=paper_48khz
"""

import importlib
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from encodec_lab.modules.process_memory import keep_freed_memory
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.step_speed import StepTime, measure_training

REFERENCE = Path(__file__).parents[1] / ".venv/reference"


@hydra.main(version_base="1.3", config_path="../configs", config_name="bench_training")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Print a line for each kind of step, and one for whole training."""
    reference = None
    if (REFERENCE / "encodec").is_dir():
        sys.path.append(str(REFERENCE))
        reference = importlib.import_module("encodec")
    crops = f"{config.data.batch_size} crops of {config.data.crop_s:g} s"
    print(f"training at {config.model.sample_rate_hz} Hz, {crops}, {config.trainer.precision}", flush=True)
    speed = measure_training(config, reference)
    print(line("generator", speed.generator))
    print(line("generator and discriminator", speed.both))
    if speed.ratio is not None:
        print(f"both kinds, as often as they come: {speed.ratio:.2f} x")
    print(f"whole training, reading included: {speed.audio_s_per_s:.2f} s of audio per second")


def line(what: str, step: StepTime) -> str:
    """Seconds of a step, and how many times as long the reference's takes."""
    beside = "(no reference here)"
    if step.ratio is not None:
        beside = f"(reference {step.theirs_s:.2f} s: {step.ratio:.2f} x)"
    return f"step of {what}: {step.ours_s:.2f} s {beside}, median of {step.num_steps}"


if __name__ == "__main__":
    keep_freed_memory()
    run_application(main)
