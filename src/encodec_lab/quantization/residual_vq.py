"""The residual vector quantiser (Zeghidour et al. 2021, algorithm 1; EnCodec, arXiv 2210.13438, section 3.2)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from encodec_lab.modules.distributed import (
    all_gather_rows,
    all_reduce_sum_,
    broadcast_from_first_,
    rank,
    world_size,
)
from encodec_lab.quantization.codebook import EmaCodebook
from encodec_lab.quantization.kmeans import cluster_sums, is_usable, kmeans, squared_norms


@dataclass(frozen=True)
class CodebookLearning:
    """How codebooks learn.

    Attributes:
        decay: of the moving averages, per step.
        dead_code_share: a code is dead below this share of uniform usage.
        kmeans_iterations: of the start.
        kmeans_vectors_per_code: vectors to gather for each code before the start.
    """

    decay: float
    dead_code_share: float
    kmeans_iterations: int
    kmeans_vectors_per_code: int

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay of the codebooks must be in [0, 1), got {self.decay}")
        if not 0 <= self.dead_code_share < 1:
            raise ValueError(f"dead_code_share must be in [0, 1), got {self.dead_code_share}")
        if self.kmeans_iterations < 0:
            raise ValueError(f"kmeans_iterations must not be negative, got {self.kmeans_iterations}")
        if self.kmeans_vectors_per_code < 1:
            raise ValueError(
                f"kmeans_vectors_per_code must be at least 1, got {self.kmeans_vectors_per_code}"
            )


class QuantizedLatent(NamedTuple):
    """What a training pass through the quantiser gives.

    Attributes:
        quantized: [B, D, L] the sum of the chosen entries, with the gradient passed straight through to the latent.
        codes: [B, K, L]; K is 0 while vectors are still being gathered for k-means.
        residuals: for each codebook, the vectors [B * L, D] that it quantised; gradients reach the latent through each.
        entries: for each codebook, the chosen entries [B * L, D], without gradient.
        counts: [K, V] how often the batches of all ranks chose each entry; in training mode only, else K is 0.
    """

    quantized: Tensor
    codes: Tensor
    residuals: list[Tensor]
    entries: list[Tensor]
    counts: Tensor


class VectorQuantizer(nn.Module):
    """One stage of the cascade; exists for the reference's parameter names (`_codebook`)."""

    def __init__(self, codebook: EmaCodebook) -> None:
        super().__init__()
        self._codebook = codebook

    @property
    def codebook(self) -> EmaCodebook:
        """The stage's codebook."""
        return self._codebook


class ResidualVectorCascade(nn.Module):
    """The stages in order; exists for the reference's parameter names (`vq.layers`)."""

    def __init__(self, stages: list[VectorQuantizer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(stages)

    def codebooks(self) -> Iterator[EmaCodebook]:
        """The codebooks in order."""
        for stage in self.layers:
            yield cast(VectorQuantizer, stage).codebook


class ResidualVectorQuantizer(nn.Module):
    """Quantises [B, D, L] by K codebooks in turn, each coding what the ones before have left.

    `encode` and `decode` never change anything. `quantize_for_training` learns the codebooks, as `configure_learning`
    says and only in training mode: first it gathers vectors from the batches of all ranks (the latent passes
    unquantised), then starts every codebook by k-means on its residuals, then follows by moving averages. All of it is
    done in float32, whatever autocast says, and from sums over all ranks; random draws depend only on the seed passed
    in, and index the global batch. So all ranks hold the same codebooks, those that one process would have. Of vectors
    that are not finite nothing is learned.
    """

    def __init__(self, num_codebooks: int, codebook_size: int, dimension: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.vq = ResidualVectorCascade(
            [VectorQuantizer(EmaCodebook(codebook_size, dimension)) for _ in range(num_codebooks)]
        )
        self._learning: CodebookLearning | None = None
        self._gathered: list[Tensor] = []
        # Cached from the buffers: to read them would be to wait for the device at each step.
        self._started: bool | None = None

    def configure_learning(self, learning: CodebookLearning) -> None:
        """Set how codebooks learn, from the next training step on; needed before the first."""
        self._learning = learning
        for codebook in self.codebooks:
            codebook.configure_learning(learning.decay, learning.dead_code_share)

    @property
    def codebooks(self) -> list[EmaCodebook]:
        """The codebooks in order."""
        return list(self.vq.codebooks())

    @property
    def started(self) -> bool:
        """Whether every codebook has been given its start."""
        if not self._started:
            self._started = all(bool(codebook.inited.item()) for codebook in self.codebooks)
        return self._started

    def entry_norms(self) -> list[Tensor]:
        """What `encode` can be spared: for each codebook the squared norms [1, V] of its entries as they are now."""
        return [squared_norms(codebook.embed) for codebook in self.codebooks]

    def encode(
        self, latent: Tensor, num_codebooks: int, entry_norms: Sequence[Tensor | None] | None = None
    ) -> Tensor:
        """Codes [B, K, L] of the latent [B, D, L] by the first `num_codebooks` codebooks."""
        with torch.autocast(latent.device.type, enabled=False):
            batch, dimension, num_frames = latent.shape
            residual = latent.float().transpose(1, 2).reshape(-1, dimension)
            codes = []
            norms = entry_norms or [None] * num_codebooks
            for codebook, norm in zip(self.codebooks[:num_codebooks], norms, strict=False):
                codes.append(codebook.encode(residual, norm))
                residual = residual - codebook.decode(codes[-1])
            return torch.stack(codes).view(num_codebooks, batch, num_frames).transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Latent [B, D, L] of the codes [B, K, L]: the sum of the entries, in order.

        Raises:
            ValueError: K is 0, or more than the codebooks there are, or a code is none of their entries.
        """
        if not 1 <= codes.shape[1] <= len(self.codebooks):
            raise ValueError(
                f"codes of shape {list(codes.shape)} must be [batch, 1 to {len(self.codebooks)} codebooks, frames]"
            )
        if codes.numel():
            lowest, highest = torch.stack(codes.aminmax()).tolist()  # a GPU is waited for once
            if lowest < 0 or highest >= self.codebook_size:
                raise ValueError(f"codes must be 0 to {self.codebook_size - 1}, got {lowest} to {highest}")
        latent = torch.tensor(0.0, device=codes.device)
        for codebook, indices in zip(self.codebooks, codes.unbind(1), strict=False):
            latent = latent + codebook.decode(indices).transpose(1, 2)
        return latent

    def quantize_for_training(
        self, latent: Tensor, num_codebooks: int, draw_seed: int, may_start: bool = True
    ) -> QuantizedLatent:
        """Quantise the latent [B, D, L] by the first `num_codebooks` codebooks and, in training mode, learn from it.

        Args:
            latent: [B, D, L].
            num_codebooks: how many codebooks to use.
            draw_seed: decides all random draws of this step; it must be the same on all ranks and differ between steps.
            may_start: false keeps codebooks that have not been started from gathering vectors for it yet.
        """
        assert not self.training or self._learning is not None, "configure_learning comes before training"
        with torch.autocast(latent.device.type, enabled=False):
            batch, dimension, num_frames = latent.shape
            vectors = latent.float().transpose(1, 2).reshape(-1, dimension)
            learning = self._learning if self.training else None
            if learning and may_start and not self.started:
                self._gather(vectors.detach(), learning, draw_seed)
            counts = vectors.new_zeros(0, self.codebook_size)
            if not self.started:
                no_codes = latent.new_zeros(batch, 0, num_frames, dtype=torch.long)
                return QuantizedLatent(latent.float(), no_codes, [], [], counts)
            residuals, entries, codes = [], [], []
            residual = vectors
            for codebook in self.codebooks[:num_codebooks]:
                codes.append(codebook.encode(residual.detach()))
                entries.append(codebook.decode(codes[-1]))
                residuals.append(residual)
                residual = residual - entries[-1]
            if learning:
                counts = self._learn([residual.detach() for residual in residuals], codes, draw_seed)
            quantized = vectors + (torch.stack(entries).sum(0) - vectors).detach()
            return QuantizedLatent(
                quantized.view(batch, num_frames, dimension).transpose(1, 2),
                torch.stack(codes).view(num_codebooks, batch, num_frames).transpose(0, 1),
                residuals,
                entries,
                counts,
            )

    def gathered_vectors(self) -> list[Tensor]:
        """What has been gathered for k-means so far ([N, D] a step, of all ranks): a checkpoint must hold it."""
        return list(self._gathered)

    def restore_gathered_vectors(self, gathered: list[Tensor]) -> None:
        """Take back what `gathered_vectors` gave."""
        self._gathered = list(gathered)

    def _load_from_state_dict(self, *args: Any) -> None:
        """Called by `load_state_dict`, which may bring codebooks that have not been started."""
        self._started = None
        super()._load_from_state_dict(*args)

    @torch.no_grad()
    def _gather(self, vectors: Tensor, learning: CodebookLearning, draw_seed: int) -> None:
        """Keep this step's usable vectors [N, D] of all ranks; start the codebooks once there are enough."""
        of_this_step = all_gather_rows(vectors)
        num_vectors_per_step = of_this_step.shape[0]
        self._gathered.append(of_this_step[is_usable(of_this_step)])
        # What a checkpoint has brought lies on the CPU.
        residual = torch.cat([part.to(vectors.device) for part in self._gathered])
        if residual.shape[0] < learning.kmeans_vectors_per_code * self.codebook_size:
            return
        generator = torch.Generator().manual_seed(draw_seed)
        for codebook in self.codebooks:
            centroids, counts = kmeans(residual, self.codebook_size, learning.kmeans_iterations, generator)
            codebook.start(centroids, counts, num_vectors_per_step)
            # The order of sums on a GPU is not fixed, and k-means makes much of a last bit: take one rank's result.
            broadcast_from_first_(codebook.buffers())
            residual = residual - codebook.decode(codebook.encode(residual))
        self._gathered = []

    @torch.no_grad()
    def _learn(self, residuals: list[Tensor], codes: list[Tensor], draw_seed: int) -> Tensor:
        """Update the codebooks in use from this step's vectors [N, D] and codes [N]; returns the counts [K, V].

        Everything is summed over the ranks at one go.
        """
        num_local, dimension = residuals[0].shape
        generator = torch.Generator().manual_seed(draw_seed)
        drawn = torch.randint(
            num_local * world_size(), (len(residuals), self.codebook_size), generator=generator
        )
        if residuals[0].is_cuda:  # out of other memory the copy would wait for the device
            drawn = drawn.pin_memory()
        drawn = drawn.to(residuals[0].device, non_blocking=True)
        local = drawn - rank() * num_local
        mine = ((local >= 0) & (local < num_local)).unsqueeze(2)
        local = local.clamp(0, num_local - 1)
        statistics = residuals[0].new_empty(len(residuals), self.codebook_size, 2 * dimension + 1)
        for k, (vectors, indices) in enumerate(zip(residuals, codes, strict=True)):
            counts, sums = cluster_sums(vectors, indices, self.codebook_size)
            statistics[k, :, 0] = counts
            statistics[k, :, 1 : dimension + 1] = sums
            statistics[k, :, dimension + 1 :] = torch.where(mine[k], vectors[local[k]], 0.0)
        all_reduce_sum_(statistics)
        for codebook, (counts, sums, candidates) in zip(
            self.codebooks, (row.split([1, dimension, dimension], dim=1) for row in statistics), strict=False
        ):
            codebook.update(counts.squeeze(1), sums, candidates)
        return statistics[:, :, 0]
