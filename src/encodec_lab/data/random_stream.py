"""Random numbers that are a function of a seed, of what they are for, and of a position in the run."""

import numpy as np


def random_stream(seed: int, tag: int, index: int) -> np.random.Generator:
    """The stream number `index`, 0 or more, of those that `tag` keeps apart from others of the same seed.

    Philox, keyed by seed and tag. The index fills the upper half of its counter: to draw numbers advances the lower
    half, so that the streams of neighbouring indices never meet.
    """
    key = np.array([seed, tag], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=index << 128))
