"""Fault 6 of other implementations' quantisers: ranks that learn apart, and k-means with an [N, V, D] tensor.

As in test_known_faults.py, every check must fail when the fault is put back.
"""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from small_quantizer import learning
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from encodec_lab.quantization.residual_vq import ResidualVectorQuantizer


class LargestTensor(TorchDispatchMode):
    """Notes the most elements that any operation's result has."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.num_elements = max(self.num_elements, result.numel())
        return result


def subtracting_distance(vectors: Tensor, centroids: Tensor) -> Tensor:
    """Fault 6: [N, V, D] differences."""
    return (vectors[:, None] - centroids[None]).square().sum(-1).argmin(-1)


def check_memory_of_start() -> None:
    quantizer = learning(ResidualVectorQuantizer(1, 32, 16), kmeans_iterations=2)
    x = torch.randn(4, 16, 100, generator=torch.Generator().manual_seed(0))
    with LargestTensor() as largest:
        quantizer.quantize_for_training(x, 1, 0)
    assert quantizer.started
    assert largest.num_elements <= 400 * 32, "a tensor larger than [N, V]"


def test_fault_6_start_needs_no_tensor_of_vectors_by_codes_by_dimensions():
    check_memory_of_start()
    with (
        mock.patch("encodec_lab.quantization.kmeans.nearest_centroids", subtracting_distance),
        pytest.raises(AssertionError, match=r"a tensor larger than \[N, V\]"),
    ):
        check_memory_of_start()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, dict[str, tuple[dict[str, Tensor], int]]]:
    """What `two_ranks.py` gives for {"0-of-1", "0-of-2", "1-of-2"}: real processes, over gloo."""
    folder = tmp_path_factory.mktemp("two_ranks")
    program = Path(__file__).with_name("two_ranks.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = {
        f"{rank}-of-{world_size}": subprocess.Popen(
            [sys.executable, str(program), str(rank), str(world_size), str(folder)], env=environment
        )
        for rank, world_size in ((0, 1), (0, 2), (1, 2))
    }
    try:
        for process in processes.values():
            assert process.wait(timeout=120) == 0
    finally:
        for process in processes.values():
            process.kill()
    return {name: torch.load(folder / f"{name}.pt") for name in processes}


def check_ranks_are_one(runs: dict[str, dict[str, tuple[dict[str, Tensor], int]]], variant: str) -> None:
    """After gathering, k-means and 20 learning steps: both ranks have what one process with the whole batch has."""
    (first, moved), (second, _), (alone, moved_alone) = (
        runs["0-of-2"][variant],
        runs["1-of-2"][variant],
        runs["0-of-1"]["ours"],
    )
    assert all(torch.equal(first[name], second[name]) for name in first), "the ranks differ from each other"
    assert all(torch.allclose(first[name], alone[name], rtol=1e-4, atol=1e-4) for name in first), (
        "the ranks differ from one process"
    )
    assert moved == moved_alone > 5


@pytest.mark.parametrize("variant", ["ours", "imprecise k-means"])
def test_fault_6_two_processes_are_one(runs, variant):
    check_ranks_are_one(runs, variant)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("statistics not reduced", "the ranks differ from each other"),
        ("averaged after the division", "the ranks differ from one process"),
        ("k-means on the first rank's vectors", "the ranks differ from one process"),
        ("k-means on each rank's vectors", "the ranks differ from each other"),
        ("imprecise k-means, not broadcast", "the ranks differ from each other"),
        ("draws of each rank's own", "the ranks differ from one process"),
    ],
)
def test_fault_6_is_seen_when_put_back(runs, variant, message):
    with pytest.raises(AssertionError, match=f"^{message}"):
        check_ranks_are_one(runs, variant)
