import copy
import io
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from encodec_lab.discriminators import MultiScaleStftDiscriminator
from encodec_lab.losses import (
    BalancedGradient,
    DiscriminatorHingeLoss,
    FeatureMatchingLoss,
    GeneratorHingeLoss,
    LossBalancer,
    WaveformL1Loss,
)

WEIGHTS = {"small": 1.0, "large": 3.0}


def _balancer(
    weights: dict[str, float], total_norm: float = 1.0, decay: float = 0.999, min_norm: float = 1e-8
) -> LossBalancer:
    """With the constants of the paper's preset but for those given."""
    return LossBalancer(weights, total_norm, decay, min_norm)


def _directions(seed: int, num_items: int = 4) -> dict[str, Tensor]:
    """Gradients [B, 1, 8] per loss, of very different size."""
    generator = torch.Generator().manual_seed(seed)
    small = 1e-3 * torch.randn(num_items, 1, 8, generator=generator)
    return {"small": small, "large": 1e3 * torch.randn(num_items, 1, 8, generator=generator)}


def _step(balancer: LossBalancer, directions: dict[str, Tensor]) -> BalancedGradient:
    """Balance losses whose gradient for an item, each its own, is the direction given."""
    output = torch.zeros_like(next(iter(directions.values())), requires_grad=True)
    losses = {name: (output * direction).flatten(1).sum(1).mean() for name, direction in directions.items()}
    balanced: BalancedGradient = balancer(losses, output)
    return balanced


def _norm(items: Tensor) -> Tensor:
    return items.flatten(1).norm(dim=1).mean()


def test_gradient_of_the_first_step_is_the_weighted_sum_of_normalised_ones() -> None:
    directions = _directions(0)
    balanced = _step(_balancer(WEIGHTS, total_norm=2.0), directions)
    expected = 2.0 * sum(WEIGHTS[name] / 4.0 * g / _norm(g) for name, g in directions.items())
    torch.testing.assert_close(balanced.gradient, expected)
    torch.testing.assert_close(balanced.norms, {name: _norm(g) for name, g in directions.items()})
    torch.testing.assert_close(balanced.ratios, {"small": torch.tensor(0.25), "large": torch.tensor(0.75)})
    assert not any(value.requires_grad for value in [balanced.gradient, *balanced.norms.values()])


def test_average_is_corrected_for_its_start() -> None:
    balancer = _balancer({"loss": 1.0}, decay=0.9)
    direction = torch.ones(1, 1, 4)  # norm 2
    _step(balancer, {"loss": direction})
    second = _step(balancer, {"loss": 3 * direction})  # norm 6
    assert _norm(second.gradient) == pytest.approx(6 / ((0.9 * 2 + 6) / 1.9))


def test_norm_is_per_item() -> None:
    """One loud item takes its share of the mean, not of a norm over the whole batch."""
    direction = torch.tensor([3.0, 0.0, 0.0]).view(3, 1, 1)
    balanced = _step(_balancer({"loss": 1.0}), {"loss": direction})
    assert balanced.norms["loss"] == 1.0
    torch.testing.assert_close(balanced.gradient, direction)


def test_batch_size_changes_neither_norms_nor_an_items_gradient() -> None:
    one, two = _balancer(WEIGHTS), _balancer(WEIGHTS)
    for seed in range(3):
        directions = _directions(seed)
        single = _step(one, directions)
        double = _step(two, {name: g.repeat(2, 1, 1) for name, g in directions.items()})
        torch.testing.assert_close(double.gradient, single.gradient.repeat(2, 1, 1))
        torch.testing.assert_close(double.norms, single.norms)
    torch.testing.assert_close(two.state_dict(), one.state_dict())


def test_averages_are_part_of_a_checkpoint() -> None:
    """Fault 8: an average that is not in the checkpoint restarts on resuming."""
    balancer = _balancer(WEIGHTS)
    _step(balancer, _directions(0))
    _step(balancer, {name: 50 * g for name, g in _directions(1).items()})
    file = io.BytesIO()
    torch.save(balancer.state_dict(), file)
    file.seek(0)
    resumed, copied = _balancer(WEIGHTS), copy.deepcopy(balancer)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    expected = _step(balancer, _directions(2)).gradient
    assert torch.equal(_step(resumed, _directions(2)).gradient, expected)
    assert torch.equal(_step(copied, _directions(2)).gradient, expected)
    assert not torch.allclose(_step(_balancer(WEIGHTS), _directions(2)).gradient, expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("step", [0, 1])
def test_gradient_that_is_not_finite_costs_one_loss_one_step(bad: float, step: int) -> None:
    """Fault 8: one NaN poisons the average for ever."""
    balancer, untouched = _balancer(WEIGHTS), _balancer(WEIGHTS)
    for earlier in range(step):
        _step(balancer, _directions(earlier))
        _step(untouched, _directions(earlier))
    poisoned = _directions(step)
    poisoned["small"][2, 0, 3] = bad
    balanced = _step(balancer, poisoned)
    alone = _step(untouched, {**_directions(step), "small": torch.zeros(4, 1, 8)})
    assert balanced.gradient.isfinite().all()
    torch.testing.assert_close(balanced.gradient, alone.gradient)
    torch.testing.assert_close(balanced.ratios, {"small": torch.tensor(0.0), "large": torch.tensor(1.0)})
    assert not balanced.norms["small"].isfinite()

    clean = _balancer(WEIGHTS)
    for earlier in range(step):
        _step(clean, _directions(earlier))
    state, expected = balancer.state_dict(), clean.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in state if ".small." in name)
    assert _step(balancer, _directions(9)).gradient.isfinite().all()


def test_tiny_gradient_is_not_blown_up() -> None:
    """Fault 8: a near-zero first norm is amplified up to 1e12 times."""
    tiny = torch.full((2, 1, 4), 0.5e-13)  # norm 1e-13
    balancer = _balancer(WEIGHTS)
    balanced = _step(balancer, {"small": tiny, "large": torch.zeros(2, 1, 4)})
    assert _norm(balanced.gradient) == pytest.approx(0.25 * 1e-13 / 1e-8)
    assert balanced.ratios == {"small": 1.0, "large": 0.0}
    recovered = _step(balancer, _directions(0))
    assert _norm(recovered.gradient) < 2.01


def test_gradients_of_exactly_zero_contribute_nothing() -> None:
    balanced = _step(_balancer(WEIGHTS), {name: torch.zeros(2, 1, 4) for name in WEIGHTS})
    assert balanced.gradient.abs().sum() == 0
    assert balanced.ratios == {"small": 0.0, "large": 0.0}


def test_weight_of_zero_switches_a_loss_off_but_reports_its_norm() -> None:
    directions = _directions(0)
    balanced = _step(_balancer({"small": 0.0, "large": 1.0}), directions)
    torch.testing.assert_close(balanced.gradient, directions["large"] / _norm(directions["large"]))
    assert balanced.norms["small"] > 0


def test_half_precision_output_gives_a_single_precision_gradient() -> None:
    output = torch.full((2, 1, 300), 0.5, dtype=torch.bfloat16, requires_grad=True)
    balanced = _balancer({"l1": 1.0})({"l1": WaveformL1Loss()(torch.zeros_like(output), output)}, output)
    assert balanced.gradient.dtype == torch.float32
    assert _norm(balanced.gradient) == pytest.approx(1.0, rel=1e-5)  # bfloat16 has three digits
    output.backward(balanced.gradient)


def test_nothing_waits_for_the_device() -> None:
    """Fault 8: a host synchronisation per loss. Tensors without data fail at `.item()`, `float()`, `if`, `.cpu()`."""
    balancer = _balancer(WEIGHTS).to("meta")
    balanced = _step(balancer, {name: g.to("meta") for name, g in _directions(0).items()})
    assert balanced.gradient.shape == (4, 1, 8)


def test_discriminator_can_use_the_same_graph_afterwards() -> None:
    """As in training: one forward pass of the discriminator for the balancer and for its own loss."""
    torch.manual_seed(0)
    discriminator = MultiScaleStftDiscriminator([64], num_filters=2, leaky_relu_slope=0.2)
    parameters = list(discriminator.parameters())
    real, decoded = torch.randn(2, 1, 256), torch.randn(2, 1, 256)
    output = decoded.clone().requires_grad_()
    real_outputs, fake_outputs = discriminator(real), discriminator(output)
    losses = {
        "adversarial": GeneratorHingeLoss()(fake_outputs),
        "features": FeatureMatchingLoss()(real_outputs, fake_outputs),
    }
    balanced = _balancer({"adversarial": 3.0, "features": 3.0})(losses, output)
    assert _norm(balanced.gradient) > 0
    assert output.grad is None and all(parameter.grad is None for parameter in parameters)
    DiscriminatorHingeLoss()(real_outputs, fake_outputs).backward(inputs=parameters)
    expected = torch.autograd.grad(
        DiscriminatorHingeLoss()(discriminator(real), discriminator(decoded)), parameters
    )
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert output.grad is None


def test_losses_that_do_not_fit_are_refused() -> None:
    balancer = _balancer(WEIGHTS)
    output = torch.zeros(1, 1, 4, requires_grad=True)
    with pytest.raises(ValueError, match=r"losses \['small'\]: give exactly \['large', 'small'\]"):
        balancer({"small": output.sum()}, output)
    with pytest.raises(ValueError, match="loss 'large' does not depend on the output"):
        balancer({"small": output.sum(), "large": torch.zeros(())}, output)
    with pytest.raises(ValueError, match="loss 'large' does not depend on the output"):
        balancer({"small": output.sum(), "large": torch.zeros((), requires_grad=True) * 2}, output)


@pytest.mark.parametrize(
    "weights", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("nan")}, {"a.b": 1.0}, {"pop": 1.0}]
)
def test_impossible_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weights|name of a loss"):
        _balancer(weights)


def test_impossible_constants_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decay 1\.0"):
        _balancer(WEIGHTS, decay=1.0)
    with pytest.raises(ValueError, match=r"total_norm 0\.0"):
        _balancer(WEIGHTS, total_norm=0.0)
    with pytest.raises(ValueError, match=r"min_norm 0\.0"):
        _balancer(WEIGHTS, min_norm=0.0)


NUM_STEPS = 4


def _train(rank: int, num_ranks: int) -> dict[str, Tensor]:
    """Steps of a one-weight decoder on this rank's part of four items; in step 1 item 3 has one gradient of NaN."""
    decoder = nn.Linear(8, 8, bias=False)
    nn.init.eye_(decoder.weight)
    balancer = _balancer(WEIGHTS, decay=0.9)
    mine = slice(rank * 4 // num_ranks, (rank + 1) * 4 // num_ranks)
    results = {}
    for step in range(NUM_STEPS):
        directions = _directions(step)
        if step == 1:
            directions["small"][3] = float("nan")
        inputs = torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(100 + step))[mine]
        decoded = decoder(inputs)
        output = decoded.detach().requires_grad_()
        losses = {name: (output * g[mine]).flatten(1).sum(1).mean() for name, g in directions.items()}
        balanced = balancer(losses, output)
        decoder.zero_grad()
        decoded.backward(balanced.gradient)
        results[f"output_gradient_{step}"] = balanced.gradient
        results[f"weight_gradient_{step}"] = decoder.weight.grad.clone()
        results |= {f"norm_{name}_{step}": norm for name, norm in balanced.norms.items()}
    return results | balancer.state_dict()


def _run_rank(rank: int, num_ranks: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=num_ranks
    )
    torch.save(_train(rank, num_ranks), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_equal_one_process(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(repository)  # the ranks import this module by its name
    torch.multiprocessing.spawn(_run_rank, (2, str(tmp_path)), nprocs=2)
    expected = _train(0, 1)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, value in expected.items():
        parts = [results[name] for results in ranks]
        if name.startswith("output_gradient"):
            torch.testing.assert_close(torch.cat(parts), 2 * value)
            assert value.isfinite().all() and value.abs().sum() > 0
        elif name.startswith("weight_gradient"):
            torch.testing.assert_close((parts[0] + parts[1]) / 2, value)
        else:  # norms and averages
            torch.testing.assert_close(parts, [value, value], equal_nan=True)
