"""An integer language model that goes frame by frame, with keys and values kept."""

import torch
from torch import Tensor

from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.modules.integer_transformer import LayerCache


class IntegerLMStream:
    """Several recordings in lockstep, all from their beginning; to be used within `exact_products`.

    Args:
        lm: prepared.
        batch_size: recordings B.
    """

    def __init__(self, lm: IntegerLM, batch_size: int) -> None:
        self._lm = lm
        self._batch_size = batch_size
        self._num_frames = 0
        # The frames that a step sees, itself among them, each at its number modulo their count: no frame ever moves.
        self._capacity = 1 + lm.config.architecture.past_context_frames
        self._layers = list(lm.transformer_layers())
        self._caches = []
        for past in lm.first_pasts(batch_size):
            self._caches.append(LayerCache(*(tensor.repeat(1, self._capacity, 1) for tensor in past)))

    def advance(self, indices: Tensor) -> Tensor:
        """Latents [B, D] of the next frame, given 1 + the codes [B, K] of the last one; zeros at the start."""
        slot = (1 + self._num_frames) % self._capacity
        num_seen = min(2 + self._num_frames, self._capacity)
        position = torch.tensor([self._num_frames], device=indices.device)
        latent = self._lm.embed(indices[..., None], position)
        for layer, cache in zip(self._layers, self._caches, strict=True):
            queries, keys, values = layer.project(latent)
            cache.keys[:, slot : slot + 1].copy_(keys)
            cache.values[:, slot : slot + 1, :-1].copy_(values)
            seen = LayerCache(cache.keys[:, :num_seen], cache.values[:, :num_seen])
            latent = layer(latent, queries, seen, self._lm.attention_exponentials, None)
        self._num_frames += 1
        return latent[:, 0]

    def keep(self, batch_size: int) -> None:
        """Go on with the first so many recordings alone."""
        for place, cache in enumerate(self._caches):
            num_kept = len(cache.keys) // self._batch_size * batch_size
            self._caches[place] = LayerCache(cache.keys[:num_kept], cache.values[:num_kept])
        self._batch_size = batch_size
