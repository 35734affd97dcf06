import pytest
import torch

from encodec_lab.losses import commitment_loss


def test_mean_over_codebooks_of_the_squared_error() -> None:
    residuals = [torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), 2.0)]
    quantized = [torch.full((2, 3, 4), 0.0), torch.full((2, 3, 4), -1.0)]
    assert commitment_loss(residuals, quantized) == pytest.approx((1.0 + 9.0) / 2)


def test_codebooks_get_no_gradient_and_every_residual_does() -> None:
    residuals = [torch.randn(1, 2, 3, requires_grad=True) for _ in range(3)]
    quantized = [torch.randn(1, 2, 3, requires_grad=True) for _ in range(3)]
    commitment_loss(residuals, quantized).backward()
    assert all(chosen.grad is None for chosen in quantized)
    assert all(residual.grad is not None and residual.grad.abs().sum() > 0 for residual in residuals)


def test_half_precision_is_computed_in_single_precision() -> None:
    residual = torch.full((1, 1, 1), 300.0, dtype=torch.float16)  # its square overflows
    assert commitment_loss([residual], [torch.zeros_like(residual)]) == 90000.0


def test_lists_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="give one of each"):
        commitment_loss([torch.zeros(1, 2, 3)], [])
    with pytest.raises(ValueError, match="give one of each"):
        commitment_loss([], [])
