"""An integer language model that goes frame by frame, with keys and values kept."""

import numpy as np
from numpy.typing import NDArray

from encodec_lab.models.identity import module_identity
from encodec_lab.models.integer_lm import Group, IntegerLM
from encodec_lab.modules.integer_arithmetic import ACTIVATION_LIMIT
from encodec_lab.modules.integer_steps import Floats, LayerStep, LinearStep, LookUp, NormStep

_LIMIT = np.float32(ACTIVATION_LIMIT)


class IntegerLMSteps:
    """The tensors of an integer language model as the steps of streams need them: copies, on the CPU.

    Args:
        lm: on any device.

    Attributes:
        identity: of the language model.

    Raises:
        InexactError: see `IntegerLM.prepare`.
    """

    def __init__(self, lm: IntegerLM) -> None:
        lm.prepare()
        self.identity = module_identity(lm)
        self.groups = lm.groups
        self.capacity = 1 + lm.config.architecture.past_context_frames
        self.codebook_size = lm.config.codebook_size
        self.embedding: NDArray[np.float64] = lm.embedding.double().flatten(0, 1).cpu().numpy()
        self.positions: NDArray[np.float64] = lm.positions.double().cpu().numpy()
        self.norm_in = NormStep(lm.norm_in)
        self.layers = [LayerStep(layer, lm.attention_exponentials) for layer in lm.transformer_layers()]
        self.frequencies = LookUp(lm.frequency_table.long())
        self.frame_embedding: Floats | None = None
        if lm.config.architecture.within_frame:
            self.frame_embedding = lm.frame_embedding.float().cpu().numpy()
        self._lm_heads = lm.heads
        self._heads: dict[Group, LinearStep] = {}

    def heads(self, group: Group) -> LinearStep:
        """Latents to the logits of the codebooks of a group."""
        if group not in self._heads:
            rows = (codebook * self.codebook_size for codebook in group)
            self._heads[group] = LinearStep(self._lm_heads.prepare(*rows), self._lm_heads.input_limit)
        return self._heads[group]


class IntegerLMStream:
    """Several recordings in lockstep, all from their beginning; to be used within `exact_products`.

    For every frame: `advance`, then for each group of codebooks `cumulative` and `condition`.

    Args:
        steps: of the language model.
        batch_size: recordings B.
    """

    def __init__(self, steps: IntegerLMSteps, batch_size: int) -> None:
        self._steps = steps
        self._num_frames = 0
        # The frames that a step sees, itself among them, each at its number modulo their count: no frame ever moves.
        self._caches = [layer.first_cache(batch_size, steps.capacity) for layer in steps.layers]

    def advance(self, indices: NDArray[np.int64]) -> None:
        """Go on to the next frame, given 1 + the codes [B, K] of the last one; zeros at the start."""
        steps = self._steps
        slot = (1 + self._num_frames) % steps.capacity
        num_seen = min(2 + self._num_frames, steps.capacity)
        rows = indices + np.arange(indices.shape[1]) * (1 + steps.codebook_size)
        embedded = steps.norm_in(np.add.reduce(steps.embedding[rows], axis=1))
        embedded += steps.positions[self._num_frames % len(steps.positions)]
        latent = np.clip(embedded, -_LIMIT, _LIMIT).astype(np.float32)
        for layer, cache in zip(steps.layers, self._caches, strict=True):
            latent = layer(latent, cache, slot, num_seen)
        self._latent: Floats = latent
        self._num_frames += 1

    def cumulative(self, group: Group) -> NDArray[np.int64]:
        """Running sums of the frequencies [B, group, V] in this frame."""
        logits = self._steps.heads(group)(np.clip(self._latent, -_LIMIT, _LIMIT))
        logits = logits.reshape(len(logits), group[1] - group[0], self._steps.codebook_size)
        distances = np.subtract(np.maximum.reduce(logits, axis=-1, keepdims=True), logits, out=logits)
        frequencies: NDArray[np.int64] = self._steps.frequencies(distances)
        return np.add.accumulate(frequencies, axis=-1, out=frequencies)

    def condition(self, group: Group, codes: NDArray[np.int64]) -> None:
        """Take in the codes [B, group], on which the groups that follow may depend."""
        tables = self._steps.frame_embedding
        if tables is not None and group[0] < len(tables):
            self._latent = self._latent + tables[group[0]][codes[:, 0]]

    def keep(self, batch_size: int) -> None:
        """Go on with the first so many recordings alone."""
        for cache in self._caches:
            cache.keep(batch_size)
