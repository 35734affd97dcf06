"""The exact building blocks against what they stand for, and in exact arithmetic of another kind."""

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from encodec_lab.modules.integer_arithmetic import (
    ACTIVATION_LIMIT,
    FLOAT32_EXACT,
    InexactError,
    IntegerLayerNorm,
    IntegerLinear,
    TableSpec,
    exact_products,
    exponential_table,
    look_up,
)


def test_a_linear_layer_at_the_edge_of_its_bound_is_exact() -> None:
    linear = IntegerLinear(64, 8, ACTIVATION_LIMIT)
    draws = torch.Generator().manual_seed(0)
    linear.weight.copy_(torch.randint(-127, 128, (8, 64), generator=draws))
    sums = linear.weight.long().abs().sum(dim=1) * ACTIVATION_LIMIT
    linear.bias.copy_(FLOAT32_EXACT - 1 - sums)
    activations = torch.cat(
        [ACTIVATION_LIMIT * linear.weight.long().sign(), -ACTIVATION_LIMIT * linear.weight.long().sign()]
    )
    expected = activations.long() @ linear.weight.long().t() + linear.bias
    assert int(expected.max()) == FLOAT32_EXACT - 1
    assert torch.equal(linear.prepare().apply(activations.float()).long(), expected)
    assert torch.equal(linear.prepare(2, 5).apply(activations.float()).long(), expected[:, 2:5])
    linear.bias[3] += 1
    linear.prepare(0, 3)
    with pytest.raises(InexactError, match="a row sums up to 16777216, must stay below 16777216"):
        linear.prepare()


def test_layer_norm_is_the_usual_one() -> None:
    norm = IntegerLayerNorm(24)
    draws = torch.Generator().manual_seed(0)
    norm.gain.copy_(100 * torch.rand(24, generator=draws))
    norm.bias.copy_(50 * torch.randn(24, generator=draws))
    norm.epsilon.fill_(7 * 24**2)
    norm.prepare(1 << 20)
    values = torch.randint(-(1 << 20), 1 << 20, (5, 3, 24), generator=draws).double()
    values[0, 0] = 1 << 20  # no variance at all
    expected = F.layer_norm(values, (24,), norm.gain.double(), norm.bias.double(), eps=7.0)
    given = norm(values.clone())
    assert torch.equal(given, given.round())
    torch.testing.assert_close(
        given, expected.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT), atol=0.5001, rtol=0
    )
    with pytest.raises(InexactError, match="sums over 24 squares of up to 4194304 might be rounded"):
        norm.prepare(1 << 22)


def test_layer_norm_sees_the_difference_that_rounded_sums_would_lose() -> None:
    """Its sums of squares are 2^49 and more; one unit in one element changes them in the last place."""
    norm = IntegerLayerNorm(16)
    limit = (1 << 21) - 2
    norm.prepare(limit)
    values = torch.full((1, 16), float(limit), dtype=torch.float64)
    values[0, 0] -= 1
    mean = Fraction(16 * limit - 1, 16)
    variance = sum((Fraction(int(value)) - mean) ** 2 for value in values[0]) / 16
    expected = float((limit - 1 - mean) / Fraction(math.sqrt(variance + Fraction(1, 256))))
    norm.prepared.gain.mul_(500)
    assert float(norm(values)[0, 0]) == pytest.approx(500 * expected, abs=0.5)


def test_tables_of_exponentials() -> None:
    spec = TableSpec(peak=1000, floor=0, steps=4)
    table = exponential_table(spec)
    assert table.shape == (spec.size,)
    assert table[[0, 4, 8]].tolist() == [1000, 368, 135]
    assert table[-1] == 0
    assert table[-3] > 0
    assert exponential_table(TableSpec(peak=1000, floor=1, steps=4))[-1] == 1


def test_places_are_rounded_down_and_held() -> None:
    table = torch.arange(10, dtype=torch.int32)
    places = torch.tensor([[0.0, 0.999, 1.0], [8.5, 1e30, math.inf]])
    assert look_up(table, places).tolist() == [[0, 0, 1], [8, 9, 9]]


def test_precision_and_mode_come_back_after_an_error() -> None:
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    seen = []

    def fail() -> None:
        with exact_products(torch.device("cpu")):
            seen.extend([backend.fp32_precision, torch.is_inference_mode_enabled()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == ["ieee", True]
    assert backend.fp32_precision == before
    assert not torch.is_inference_mode_enabled()
