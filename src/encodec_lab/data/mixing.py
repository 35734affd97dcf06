"""Mixtures of several recordings, for training (EnCodec, arXiv 2210.13438, sections 4.1 and A.1)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_lab.data.augmentation import check_range, without_clipping
from encodec_lab.data.manifest import Source


@dataclass(frozen=True)
class Strategy:
    """One way to make a crop.

    Args:
        probability: with which a crop is made this way.
        num_sources: how many recordings are added up; each is drawn by itself, so two may come from one source.
        kinds: those of the sources that it draws from; None for all.
        other_than: kinds of sources that it does not draw from.
        reverb: whether reverberation may be added.
    """

    probability: float
    num_sources: int
    kinds: Sequence[str] | None
    other_than: Sequence[str]
    reverb: bool

    def takes(self, kind: str | None) -> bool:
        """Whether it draws from sources of this kind."""
        return (self.kinds is None or kind in self.kinds) and kind not in self.other_than


class Mixture(NamedTuple):
    """Several recordings, added up.

    Attributes:
        wav: [C, T], of peak 1 at most.
        gains_db: of each recording; where no gains could be drawn that do not clip, the mixture is scaled down besides.
    """

    wav: Tensor
    gains_db: tuple[float, ...]


@dataclass(frozen=True)
class Mixing:
    """Draws how a crop is made, and adds up its recordings, each at a random level.

    Args:
        strategies: by name; their probabilities sum to 1.
        gain_db: (low, high) of each recording, drawn uniformly; 0 dB is a file whose peak is 1.
        max_redraws: how often at most other gains are drawn for a mixture that clips; then it is scaled down.
    """

    strategies: Mapping[str, Strategy]
    gain_db: Sequence[float]
    max_redraws: int

    def __post_init__(self) -> None:
        check_range("mixing.gain_db", self.gain_db)
        if self.max_redraws < 0:
            raise ValueError(f"mixing.max_redraws must be 0 or more, got {self.max_redraws}")
        for name, strategy in self.strategies.items():
            if not (0 <= strategy.probability <= 1 and strategy.num_sources >= 1):
                raise ValueError(
                    f"mixing.strategies.{name} needs a probability from 0 to 1 and a source or more, "
                    f"got {strategy.probability} and {strategy.num_sources}"
                )
        total = sum(strategy.probability for strategy in self.strategies.values())
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the probabilities of mixing.strategies must sum to 1, got {total:g}")

    def add_up(self, recordings: Sequence[Tensor], rng: np.random.Generator) -> Mixture:
        """Recordings [C, T] of files whose peak is 1 -> their mixture.

        A mixture that clips is rejected: other gains are drawn for the same recordings, so that loud ones are as
        frequent as any.
        """
        stacked = torch.stack(list(recordings))
        for _ in range(self.max_redraws + 1):
            gains_db = rng.uniform(self.gain_db[0], self.gain_db[1], (len(recordings), 1, 1))
            gains = 10 ** (gains_db / 20)
            mixture = (stacked * torch.from_numpy(gains).to(stacked.dtype)).sum(dim=0)
            if float(mixture.abs().max()) <= 1:
                break
        return Mixture(without_clipping(mixture), tuple(gains_db.flatten().tolist()))


class DrawnStrategy(NamedTuple):
    """How one crop is made.

    Attributes:
        name: of the strategy.
        sources: for each recording the index of its source.
        reverb: see `Strategy`.
    """

    name: str
    sources: list[int]
    reverb: bool


class StrategyDraw:
    """Draws a strategy, and the sources of its recordings by their weights.

    Sources without a kind are taken by every strategy, if none has one.

    Args:
        mixing: None makes every crop of a single recording.
        sources: what there is.

    Raises:
        ValueError: a strategy finds no source that it may draw from.
    """

    def __init__(self, mixing: Mixing | None, sources: Sequence[Source]) -> None:
        strategies = (
            {"single": Strategy(1.0, 1, None, (), reverb=True)} if mixing is None else mixing.strategies
        )
        used = {name: strategy for name, strategy in strategies.items() if strategy.probability > 0}
        self._names = list(used)
        self._strategies = list(used.values())
        self._edges = cumulative([strategy.probability for strategy in self._strategies])
        have_kinds = any(source.kind is not None for source in sources)
        self._source_edges = []
        for name, strategy in used.items():
            weights = [
                source.weight if strategy.takes(source.kind) or not have_kinds else 0.0 for source in sources
            ]
            if not any(weights):
                kinds = ", ".join(sorted({str(source.kind) for source in sources}))
                raise ValueError(
                    f"mixing.strategies.{name} (kinds: {_listed(strategy.kinds)}, other_than: "
                    f"{_listed(strategy.other_than)}) finds no source among those of kind {kinds}"
                )
            self._source_edges.append(cumulative(weights))

    def draw(self, rng: np.random.Generator) -> DrawnStrategy:
        """How the next crop is made."""
        chosen = pick(self._edges, rng) if len(self._strategies) > 1 else 0
        strategy, edges = self._strategies[chosen], self._source_edges[chosen]
        sources = [pick(edges, rng) for _ in range(strategy.num_sources)]
        return DrawnStrategy(self._names[chosen], sources, strategy.reverb)


def cumulative(weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """What `pick` draws from: each weight's share of the numbers from 0 to 1 ends at its edge."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    edges /= edges[-1]
    return edges


def pick(edges: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index drawn by the weights that `cumulative` was given; one of weight 0 is never drawn."""
    return int(np.searchsorted(edges, rng.random(), side="right"))


def _listed(kinds: Sequence[str] | None) -> str:
    return "any" if kinds is None else ", ".join(kinds) or "none"
