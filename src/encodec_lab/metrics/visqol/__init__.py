"""ViSQOL 3.3 (Chinen et al. 2020, arXiv 2004.09584), scoring as google/visqol's conformance tests expect it.

The stages, one file each: `alignment` shifts the degraded signal in time, `gammatone` makes spectrograms, `patches`
chooses patches of the reference, `neurogram` measures how similar two patches are, `patch_matching` finds the patch of
the degraded signal that answers each one, `quality` maps similarities to a score, and `score` runs them.
"""

from encodec_lab.metrics.visqol.score import visqol

__all__ = ["visqol"]
