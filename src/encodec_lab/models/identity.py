"""The identity of a set of weights: a hash that changes when any tensor changes."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor


def tensors_identity(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (64 hex digits) over all tensors in the order of their names.

    Each tensor contributes one line of JSON, `[name, dtype, shape]`, and then its elements as little-endian bytes,
    row-major; where the tensors lie (device, strides) makes no difference.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(
            json.dumps([name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]).encode()
        )
        digest.update(b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
