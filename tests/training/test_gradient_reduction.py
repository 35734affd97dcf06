"""Gradients averaged in buckets: real gloo processes, whose backward passes differ in order and extent."""

import contextlib
import datetime
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import nn

from encodec_lab.training.gradient_reduction import GradientReduction

NUM_RANKS = 3
WIDTH = 4
# In bytes: a bucket for each parameter, several, one for all.
BUCKETS = {1: 11, 100: 3, 10**6: 1}


class Branches(nn.Module):
    """Branches whose order differs between the ranks; one is the first rank's alone, another nobody's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(3)])
        self.conv = nn.Conv2d(3, 2, 2).to(memory_format=torch.channels_last)
        self.of_first_rank = nn.Linear(WIDTH, 1, bias=False)
        self.of_nobody = nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor, rank: int) -> torch.Tensor:
        """A loss of [N, WIDTH]; the branch that comes last has its gradients first."""
        order = list(self.branches)
        total = self.conv(x[:3, :].view(1, 3, 2, 2)).square().sum()
        for branch in reversed(order) if rank else order:
            total = total + branch(x).square().mean()
        return total if rank else total + self.of_first_rank(x).square().mean()


def loss_of(network: Branches, rank: int, step: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(10 * step + rank)
    return network(torch.randn(5, WIDTH, generator=generator), rank)


def gradients(network: Branches) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in network.named_parameters()}


all_reduce = dist.all_reduce


class Collectives:
    """Takes note of each collective: its size, and how many parameters had their gradients then."""

    def __init__(self, network: Branches) -> None:
        self.network = network
        self.seen: list[tuple[int, int]] = []

    def __call__(self, tensor: torch.Tensor, async_op: bool) -> dist.Work | None:
        made = sum(parameter.grad is not None for parameter in self.network.parameters())
        self.seen.append((tensor.numel(), made))
        return all_reduce(tensor, async_op=async_op)


def reduce_once(network: Branches, rank: int, bucket_bytes: int, step: int = 0) -> dict[str, object]:
    network.zero_grad()
    loss = loss_of(network, rank, step)
    collectives = Collectives(network)
    parameters = list(network.parameters())
    with (
        mock.patch.object(dist, "all_reduce", collectives),
        mock.patch.object(GradientReduction, "bucket_bytes", bucket_bytes),
    ):
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        with GradientReduction(parameters) as reduction:
            # As a balancer does, and as the discriminator's pass.
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            assert collectives.seen == []
            loss.backward(inputs=parameters)
        during = list(collectives.seen)
        norm = reduction.finish()
        result = {"gradients": gradients(network), "norm": norm, "collectives": during}
        network.zero_grad()
        loss_of(network, rank).backward()
        assert collectives.seen == during, "a backward pass outside reduces nothing"
    return result


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        f"file://{folder}/meeting",
        rank=rank,
        world_size=NUM_RANKS,
        timeout=datetime.timedelta(seconds=60),
    )
    network = Branches()
    fail(network)
    results: dict[object, object] = {size: reduce_once(network, rank, size) for size in BUCKETS}
    results["again"] = reduce_once(network, rank, 100)
    with mock.patch.object(GradientReduction, "bucket_bytes", 1):
        results["in forward order"] = made_in_forward_order(network, rank)
        results["two at a time"] = two_at_a_time(network, rank)
        results["not finite"] = norm_with_a_nan(network, rank)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def two_at_a_time(network: Branches, rank: int) -> list[dict[str, torch.Tensor]]:
    """One network's reduction is on its way while another's backward pass goes on."""
    networks = [network, Branches()]
    reductions = []
    for step, each in enumerate(networks):
        each.zero_grad()
        with GradientReduction(each.parameters()) as reduction:
            loss_of(each, rank, step).backward()
        reductions.append(reduction)
    for reduction in reductions:
        reduction.finish()
    return [gradients(each) for each in networks]


def made_in_forward_order(network: Branches, rank: int) -> list[int]:
    """How many gradients there are as each bucket of one parameter sets out, in the order of the first rank."""
    order = [network.of_nobody, network.conv, *network.branches, network.of_first_rank]
    used = [parameter for module in order for parameter in module.parameters()]
    network.zero_grad()
    collectives = Collectives(network)
    with (
        mock.patch.object(dist, "all_reduce", collectives),
        GradientReduction(network.parameters(), forward_order=used) as reduction,
    ):
        loss_of(network, rank).backward()
    reduction.finish()
    return [made for _, made in collectives.seen]


def fail(network: Branches) -> None:
    """A pass that ends in an error leaves no hooks behind, and starts no collective that others would wait for."""
    with contextlib.suppress(ZeroDivisionError), GradientReduction(network.parameters()):
        assert all(parameter._post_accumulate_grad_hooks for parameter in network.parameters())
        raise ZeroDivisionError
    assert not any(parameter._post_accumulate_grad_hooks for parameter in network.parameters())


def norm_with_a_nan(network: Branches, rank: int) -> torch.Tensor:
    network.zero_grad()
    with GradientReduction(network.parameters()) as reduction:
        (loss_of(network, rank) * (float("nan") if rank == 1 else 1.0)).backward()
    return reduction.finish()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, repository):
    """What each rank has."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)  # the ranks import this module by its name
        torch.multiprocessing.spawn(run_rank, (str(folder),), nprocs=NUM_RANKS)
    return [torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(NUM_RANKS)]


def mean_gradients(step: int = 0) -> dict[str, torch.Tensor]:
    """What plain backward passes give, averaged; none counts as zero."""
    total: dict[str, torch.Tensor] = {}
    for rank in range(NUM_RANKS):
        network = Branches()
        loss_of(network, rank, step).backward()
        for name, parameter in network.named_parameters():
            mine = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            total[name] = total.get(name, 0.0) + mine / NUM_RANKS
    return total


@pytest.mark.parametrize("bucket_bytes", BUCKETS)
def test_means_of_all_ranks(ranks, bucket_bytes):
    expected = mean_gradients()
    for results in ranks:
        torch.testing.assert_close(results[bucket_bytes]["gradients"], expected)
        norm = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
        torch.testing.assert_close(results[bucket_bytes]["norm"], norm)
    assert expected["of_first_rank.weight"].abs().sum() > 0
    assert expected["of_nobody.weight"].abs().sum() == 0


@pytest.mark.parametrize("bucket_bytes", BUCKETS)
def test_all_ranks_hold_the_same_each_time(ranks, bucket_bytes):
    first = ranks[0][bucket_bytes]
    for results in ranks:
        for name in ("gradients", "norm"):
            torch.testing.assert_close(results[bucket_bytes][name], first[name], rtol=0, atol=0)
            torch.testing.assert_close(results["again"][name], ranks[0][100][name], rtol=0, atol=0)


def test_buckets_set_out_in_one_order_whatever_the_order_of_gradients(ranks):
    for bucket_bytes, count in BUCKETS.items():
        sizes = [[size for size, _ in results[bucket_bytes]["collectives"]] for results in ranks]
        assert len(sizes[0]) == count
        assert sizes[1] == sizes[2] == sizes[0]


def test_buckets_set_out_during_the_pass(ranks):
    """In the order of the first rank's forward pass each gradient sets out at once, or with its layer's other one."""
    made = ranks[0]["in forward order"]
    assert made[-2:] == [11, 11], "what nobody uses is filled up at the end"
    assert all(place <= count <= place + 1 for place, count in enumerate(made[:-2], start=1))


def test_several_networks_at_a_time(ranks):
    for results in ranks:
        for step, actual in enumerate(results["two at a time"]):
            torch.testing.assert_close(actual, mean_gradients(step))


def test_all_ranks_see_a_gradient_that_is_not_finite(ranks):
    assert [bool(results["not finite"].isfinite()) for results in ranks] == [False] * NUM_RANKS


def test_a_single_process_has_no_hooks():
    network = Branches()
    with GradientReduction(network.parameters()) as reduction:
        assert not any(parameter._post_accumulate_grad_hooks for parameter in network.parameters())
        loss_of(network, 1).backward()
    expected = Branches()
    loss_of(expected, 1).backward()
    for name, gradient in gradients(network).items():
        plain = expected.get_parameter(name).grad
        assert torch.equal(gradient, torch.zeros_like(gradient) if plain is None else plain)
    assert reduction.finish() == torch.nn.utils.get_total_norm(gradients(network).values())
