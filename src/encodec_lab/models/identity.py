"""The identity of a set of weights: a hash that changes when any tensor changes."""

import hashlib
import json
import weakref
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# How much of the hash streams carry.
SHORT_BYTES = 8

# Module -> the state that its tensors had when they were hashed, and the hash.
_known: "weakref.WeakKeyDictionary[nn.Module, tuple[tuple[object, ...], str]]" = weakref.WeakKeyDictionary()


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


def module_identity(module: nn.Module) -> str:
    """`tensors_identity` of the state dict; hashed again only after a tensor has been replaced or written to.

    Torch counts the writes to a tensor, but not those through its `.data`: after these the identity is the old one.
    Write within `torch.no_grad()` instead.
    """
    tensors = module.state_dict()
    if any(
        tensor.is_inference() for tensor in tensors.values()
    ):  # these do not count how often they were written to
        return tensors_identity(tensors)
    state = tuple((name, tensor.data_ptr(), tensor._version) for name, tensor in tensors.items())
    known = _known.get(module)
    if known is None or known[0] != state:
        known = _known[module] = (state, tensors_identity(tensors))
    return known[1]


def short_identity(module: nn.Module) -> bytes:
    """The first 8 bytes of `module_identity`: what streams call a model besides its name."""
    return bytes.fromhex(module_identity(module))[:SHORT_BYTES]
