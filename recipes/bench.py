"""Real-time factors of the two published architectures on one thread (random weights): python recipes/bench.py."""

import torch

from encodec_lab import EncodecModel
from encodec_lab.evaluation.speed import measure_real_time_factors


def main() -> None:
    """Print a line for each architecture; EnCodec's table 5 has 9.8 / 10.4 and 6.8 / 5.1 on a laptop of 2019."""
    torch.set_num_threads(1)
    print("6 kbps, 10 s of audio, one thread: seconds of audio per second")
    for build in (EncodecModel.encodec_model_24khz, EncodecModel.encodec_model_48khz):
        model = build(pretrained=False)
        factors = measure_real_time_factors(model, 6.0, duration_s=10.0, num_repeats=3)
        print(f"{build.__name__}: encode {factors.encode:.1f}, decode {factors.decode:.1f}")


if __name__ == "__main__":
    main()
