"""The scale of a segment as both versions of the `.ecdc` format hold it, for models that normalise their input."""

import math
import struct

import torch
from torch import Tensor

from encodec_lab.types import EcdcError

_FLOAT32 = struct.Struct("!f")
SCALE_BYTES = _FLOAT32.size


def pack_scale(scale: Tensor) -> bytes:
    """The bytes of a scale of one element."""
    return _FLOAT32.pack(scale.item())


def unpack_scale(content: bytes | memoryview, where: str) -> Tensor:
    """The scale [1, 1] in `SCALE_BYTES` bytes, on the CPU; EcdcError, which says `where`, if it is impossible."""
    (scale,) = _FLOAT32.unpack(content)
    if not (math.isfinite(scale) and scale > 0):
        raise EcdcError(f"{where}: the scale of a segment is {scale}; it must be finite and positive")
    return torch.tensor([[scale]])
