"""Run by test_known_fault_6.py as a program, once for every rank: trains quantisers, some with a fault put back.

Usage: python two_ranks.py RANK WORLD_SIZE FOLDER; writes FOLDER/RANK-of-WORLD_SIZE.pt: {variant: (state, moved codes)}.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

from encodec_lab.modules import distributed
from encodec_lab.quantization import residual_vq
from encodec_lab.quantization.codebook import EmaCodebook
from encodec_lab.quantization.residual_vq import CodebookLearning, ResidualVectorQuantizer

NUM_CODEBOOKS, SIZE, DIMENSION, BATCH, FRAMES = 3, 32, 8, 8, 16
NUM_STEPS = 2 + 20  # 320 vectors are there at the third step, the first that learns
kmeans, update = residual_vq.kmeans, EmaCodebook.update


def latent(step: int) -> Tensor:
    """The global batch [B, D, L]; a third of what k-means saw is never seen again, so that codes die."""
    points = 3 * torch.randn(60, DIMENSION, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(100 + step)
    chosen = points[torch.randint(60 if step < 3 else 40, (BATCH, FRAMES), generator=generator)]
    # Items differ in loudness: what one rank sees is not what the other sees.
    loudness = torch.linspace(0.5, 1.5, BATCH).view(BATCH, 1, 1)
    noise = 0.3 * torch.randn(BATCH, FRAMES, DIMENSION, generator=generator)
    return (loudness * chosen + noise).transpose(1, 2)


def train(rank: int, world_size: int, seed_step: int = 0) -> tuple[dict[str, Tensor], int]:
    """The quantiser's state after all steps, and how many codes were moved onto a vector of the batch."""
    quantizer = ResidualVectorQuantizer(NUM_CODEBOOKS, SIZE, DIMENSION).train()
    quantizer.configure_learning(CodebookLearning(0.8, 0.1, kmeans_iterations=50, kmeans_vectors_per_code=10))
    moved = 0

    def counting(codebook: EmaCodebook, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
        nonlocal moved
        codebook_update(codebook, counts, sums, candidates)
        moved += int(codebook.embed.eq(candidates).all(1).sum())

    codebook_update = EmaCodebook.update
    with mock.patch.object(EmaCodebook, "update", counting):
        for step in range(NUM_STEPS):
            mine = latent(step).chunk(world_size)[rank]
            quantizer.quantize_for_training(mine, 1 + step % NUM_CODEBOOKS, 1000 * step + seed_step)
    return quantizer.state_dict(), moved


def own(tensor: Tensor) -> Tensor:
    """In place of a reduction or a gathering: what this rank has."""
    return tensor


def averaging_update(codebook: EmaCodebook, counts: Tensor, sums: Tensor, candidates: Tensor) -> None:
    """Own statistics, divided; then the average over ranks."""
    update(codebook, counts, sums, candidates)
    for buffer in codebook.buffers():
        distributed.all_reduce_sum_(buffer).div_(distributed.world_size())


def imprecise_kmeans(vectors: Tensor, *settings: int | torch.Generator) -> tuple[Tensor, Tensor]:
    """As on a GPU, where the order of sums is not fixed: each rank has another result."""
    centroids, counts = kmeans(vectors, *settings)  # type: ignore[arg-type]
    return centroids + 1e-3 * distributed.rank(), counts


def leave_alone(tensors: Iterator[Tensor]) -> None:
    """In place of a broadcast."""


Patch = tuple[object, str, Callable[..., object]]
VARIANTS: dict[str, list[Patch]] = {
    "ours": [],
    "imprecise k-means": [(residual_vq, "kmeans", imprecise_kmeans)],
    "statistics not reduced": [(residual_vq, "all_reduce_sum_", own)],
    "averaged after the division": [
        (residual_vq, "all_reduce_sum_", own),
        (EmaCodebook, "update", averaging_update),
    ],
    "k-means on the first rank's vectors": [(residual_vq, "all_gather_rows", own)],
    "k-means on each rank's vectors": [
        (residual_vq, "all_gather_rows", own),
        (residual_vq, "broadcast_from_first_", leave_alone),
    ],
    "imprecise k-means, not broadcast": [
        (residual_vq, "kmeans", imprecise_kmeans),
        (residual_vq, "broadcast_from_first_", leave_alone),
    ],
}


def main(rank: int, world_size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting-{world_size}", rank=rank, world_size=world_size)
    results = {}
    for name, patches in VARIANTS.items():
        with ExitStack() as stack:
            for target, attribute, faulty in patches:
                stack.enter_context(mock.patch.object(target, attribute, faulty))
            results[name] = train(rank, world_size)
    results["draws of each rank's own"] = train(rank, world_size, seed_step=rank)
    torch.save(results, folder / f"{rank}-of-{world_size}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
