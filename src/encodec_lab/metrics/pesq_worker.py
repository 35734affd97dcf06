"""The process in which the `pesq` package runs; a script that imports nothing of encodec_lab, so that it starts fast.

Reads from standard input a line with the lengths of the chunks as JSON, then for each chunk the reference's and the
degraded signal's 16 kHz samples as little-endian float64. Writes a JSON list: a score, or the reason for none.
"""

import json
import sys

import numpy as np


def main() -> None:
    """Score every chunk on standard input."""
    from pesq import PesqError, pesq

    lengths: list[int] = json.loads(sys.stdin.buffer.readline())
    scores: list[float | str] = []
    for length in lengths:
        samples = np.frombuffer(sys.stdin.buffer.read(2 * 8 * length), dtype="<f8").reshape(2, length)
        try:
            scores.append(float(pesq(16_000, samples[0], samples[1], "wb")))
        except (PesqError, ValueError) as error:
            reason = error.args[0] if error.args else type(error).__name__
            scores.append(reason.decode() if isinstance(reason, bytes) else str(reason))
    json.dump(scores, sys.stdout)


if __name__ == "__main__":
    main()
