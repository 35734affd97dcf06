"""Steps of one frame against the same layers over whole sequences, and products that must not be rounded."""

import pytest
import torch

from encodec_lab.modules import integer_steps
from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    IntegerLayerNorm,
    IntegerLinear,
    exact_products,
    look_up,
)
from encodec_lab.modules.integer_steps import LinearStep, LookUp, NormStep


def _linear() -> IntegerLinear:
    linear = IntegerLinear(48, 40, ACTIVATION_LIMIT)
    draws = torch.Generator().manual_seed(0)
    linear.weight.copy_(torch.randint(-127, 128, linear.weight.shape, generator=draws))
    linear.bias.copy_(torch.randint(-100_000, 100_000, linear.bias.shape, generator=draws))
    linear.scale.copy_(torch.rand(40, generator=draws) + 0.01)
    return linear


@pytest.mark.parametrize("batch_size", [1, 2, 5, 17, 48])
@pytest.mark.parametrize("has_packed", [True, False])
def test_linear_steps_are_the_layer_at_the_edge_of_its_range(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, has_packed: bool
) -> None:
    if not has_packed:
        monkeypatch.setattr(integer_steps, "_packed", lambda *_: None)
    linear = _linear()
    prepared = linear.prepare()
    step = LinearStep(prepared, ACTIVATION_LIMIT)
    draws = torch.Generator().manual_seed(1)
    activations = ACTIVATION_LIMIT * (2 * torch.randint(0, 2, (batch_size, 48), generator=draws) - 1).float()
    activations[0] = ACTIVATION_LIMIT * linear.weight[3].sign()
    with exact_products(torch.device("cpu")):
        given = torch.from_numpy(step(activations.numpy()))
        assert torch.equal(given, prepared.apply(activations))


@pytest.mark.skipif(not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="FBGEMM needs AVX2")
def test_weights_are_packed_where_that_is_exact_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = _linear()
    assert LinearStep(linear.prepare(), ACTIVATION_LIMIT)._packed is not None
    product = torch.ops.quantized.linear_dynamic_fp16

    def rounding(activations: torch.Tensor, packed: object) -> torch.Tensor:
        return product(activations.bfloat16().float(), packed)

    monkeypatch.setattr(torch.ops.quantized, "linear_dynamic_fp16", rounding)
    assert LinearStep(linear.prepare(), ACTIVATION_LIMIT)._packed is None


def test_norm_steps_are_the_layer() -> None:
    norm = IntegerLayerNorm(24)
    draws = torch.Generator().manual_seed(0)
    norm.gain.copy_(100 * torch.rand(24, generator=draws))
    norm.bias.copy_(50 * torch.randn(24, generator=draws))
    norm.epsilon.fill_(7 * 24**2)
    norm.prepare(1 << 20)
    values = torch.randint(-(1 << 20), 1 << 20, (50, 24), generator=draws).double()
    values[0] = 1 << 20  # no variance at all
    expected = norm(values.clone())
    assert torch.equal(torch.from_numpy(NormStep(norm)(values.numpy())), expected)


def test_places_are_rounded_down_and_held() -> None:
    table = torch.arange(10, dtype=torch.int32)
    places = torch.tensor([[0.0, 0.999, 1.0], [8.5, 1e30, 9.0]])
    expected = look_up(table, places.clone())
    assert LookUp(table)(places.numpy()).tolist() == expected.tolist()
