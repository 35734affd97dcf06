"""Real-time factors of the two published architectures beside the reference's, on one thread: python recipes/bench.py.

Random weights; the reference package is read from .venv/reference, where `make test` puts it, and left out otherwise.
"""

import importlib
import sys
from pathlib import Path

import torch

from encodec_lab import EncodecModel
from encodec_lab.evaluation.speed import measure_in_turns

REFERENCE = Path(__file__).parents[1] / ".venv/reference"


def main() -> None:
    """Print a line for each architecture; EnCodec's table 5 has 9.8 / 10.4 and 6.8 / 5.1 on a laptop of 2019."""
    torch.set_num_threads(1)
    print(
        "6 kbps, 10 s of audio, one thread, medians of 5: seconds of audio per second (ratio to the reference)"
    )
    has_reference = (REFERENCE / "encodec").is_dir()
    if has_reference:
        sys.path.append(str(REFERENCE))
    for name in ("encodec_model_24khz", "encodec_model_48khz"):
        codecs = [getattr(EncodecModel, name)(pretrained=False)]
        if has_reference:
            codecs.append(getattr(importlib.import_module("encodec").EncodecModel, name)(pretrained=False))
        for codec in codecs:
            codec.set_target_bandwidth(6.0)
        factors = measure_in_turns(codecs, duration_s=10.0, num_repeats=5)
        ours, theirs = factors[0], factors[-1]
        ratios = (ours.encode / theirs.encode, ours.decode / theirs.decode)
        shown = [f" ({ratio:.2f} x)" if has_reference else " (no reference here)" for ratio in ratios]
        print(f"{name}: encode {ours.encode:.1f}{shown[0]}, decode {ours.decode:.1f}{shown[1]}")


if __name__ == "__main__":
    main()
