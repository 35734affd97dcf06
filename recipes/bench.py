"""Real-time factors of the two published architectures beside the reference's, on one thread: python recipes/bench.py.

Inference on 10 s and 5 minutes, with one and two threads, a table and a chart in outputs/bench; then the codecs as
they are; entropy coding with a language model of the paper's size, alone and in compression; loading of training data.
Random weights; the reference package is read from .venv/reference, where `make test` puts it, and left out otherwise.
"""

import importlib
import sys
from pathlib import Path

import torch

from encodec_lab import EncodecModel
from encodec_lab.evaluation.speed import measure_in_turns
from encodec_lab.evaluation.speed_inference import benchmark_inference
from encodec_lab.evaluation.speed_lm import Comparison, compare_language_model_coding
from encodec_lab.evaluation.speed_loading import measure_loading

DURATIONS_S = (10.0, 300.0)
NUM_THREADS = (1, 2)
REFERENCE = Path(__file__).parents[1] / ".venv/reference"


def main() -> None:
    """Print a line for each measurement; EnCodec's table 5 has 9.8 / 10.4 and 6.8 / 5.1 on a laptop of 2019."""
    torch.set_num_threads(1)
    print("6 kbps, one thread, medians: seconds of audio per second of work (ratio to the reference)")
    reference = None
    if (REFERENCE / "encodec").is_dir():
        sys.path.append(str(REFERENCE))
        reference = importlib.import_module("encodec")
    packages = [EncodecModel] if reference is None else [EncodecModel, reference.EncodecModel]
    names = ("encodec_model_24khz", "encodec_model_48khz")
    pairs = {name: [getattr(package, name)(pretrained=False) for package in packages] for name in names}
    for codec in (codec for codecs in pairs.values() for codec in codecs):
        codec.set_target_bandwidth(6.0)
    benchmark_inference(pairs, Path("outputs/bench"), DURATIONS_S, NUM_THREADS, print)
    for name, codecs in pairs.items():
        factors = measure_in_turns(codecs, duration_s=10.0, num_repeats=5)
        report(name, Comparison("10 s of noise", factors[0], factors[1] if reference else None))
        for comparison in compare_language_model_coding(codecs[0], reference):
            report(name, comparison)
    for what, crops_per_core_s in measure_loading():
        print(f"loading, {what}: {crops_per_core_s:.0f} one-second crops per core and second")


def report(name: str, comparison: Comparison) -> None:
    """Print our factors, and their ratios to the reference's if there are any."""
    what, ours, theirs = comparison
    ratios = [" (no reference here)"] * 2
    if theirs is not None:
        ratios = [f" ({ours.encode / theirs.encode:.2f} x)", f" ({ours.decode / theirs.decode:.2f} x)"]
    factors = f"encode {ours.encode:.1f}{ratios[0]}, decode {ours.decode:.1f}{ratios[1]}"
    print(f"{name}, {what}: {factors}", flush=True)


if __name__ == "__main__":
    main()
