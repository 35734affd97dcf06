"""Functions of one variable as sums of ELUs: what convolutions with ELUs between them can be given to compute."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import elu

Function = Callable[[Tensor], Tensor]

_RIDGE = 1e-8  # of the Gram matrix' norm: large weights of both signs would magnify every later change
_SMALL = 0.02  # of the largest value: down to it the relative error counts, below it the absolute one


def rectified(x: Tensor, sharpness: float) -> Tensor:
    """`ELU(sharpness x) / sharpness`: x above zero, and -1 / sharpness at most below it."""
    return elu(sharpness * x) / sharpness


@dataclass(frozen=True)
class EluSum:
    """`f(x) = offset + sum_j weights[j] ELU(scales[j] x + biases[j])`; all tensors [J]."""

    scales: Tensor
    biases: Tensor
    weights: Tensor
    offset: float


def fit(function: Function, points: Tensor, inputs: Tensor, scales: Tensor) -> EluSum:
    """The least-squares fit of `function` at `points` [N] by ELUs of `inputs` [N], which hang on the points."""
    basis = torch.cat([elu(inputs[:, None] * scales), torch.ones_like(inputs)[:, None]], dim=1)
    solution = _solve(basis, function(points))
    return EluSum(scales, torch.zeros_like(scales), solution[:-1], float(solution[-1]))


def fit_odd(function: Function, points: Tensor, sharpness: float, scales: Tensor, biases: Tensor) -> EluSum:
    """The fit of an odd function, given at positive `points` [N], by f(r(x)) - f(r(-x)) with r the rectified x."""
    positive, negative = rectified(points, sharpness), rectified(-points, sharpness)
    basis = elu(positive[:, None] * scales + biases) - elu(negative[:, None] * scales + biases)
    values = function(points)
    tolerance = values.abs() + _SMALL * values.abs().max()
    return EluSum(scales, biases, _solve(basis / tolerance[:, None], values / tolerance), 0.0)


def _solve(basis: Tensor, values: Tensor) -> Tensor:
    """Ridge regression, in double precision."""
    basis, values = basis.double(), values.double()
    gram = basis.T @ basis
    gram += _RIDGE * torch.linalg.matrix_norm(gram, 2) * torch.eye(len(gram), dtype=gram.dtype)
    solution: Tensor = torch.linalg.solve(gram, basis.T @ values).float()
    return solution
