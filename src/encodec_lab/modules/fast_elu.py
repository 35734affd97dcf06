"""ELU (Clevert et al. 2016) into memory of the caller's, by the fastest exponential at hand."""

import platform

import numpy as np
import torch
from torch import Tensor

# NumPy carries Intel's vector library for these processors, with which this takes half of the time of torch's ELU.
# Elsewhere its expm1 goes element by element.
_NUMPY_IS_FASTER = (
    platform.system() == "Linux"
    and platform.machine() == "x86_64"
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
)


def elu_into(x: Tensor, out: Tensor) -> None:
    """Write elu(x), with alpha = 1, to `out` of the same shape; no gradients.

    elu(x) = max(x, exp(min(x, 0)) - 1), because the exponential lies above its tangent at 0.
    """
    if not (_NUMPY_IS_FASTER and x.is_cpu and x.dtype is torch.float32):
        torch.ops.aten.elu.out(x, out=out)
        return
    torch.clamp_max(x, 0.0, out=out)
    values = out.numpy()
    np.expm1(values, out=values)
    torch.maximum(x, out, out=out)
