"""EnCodec neural audio codecs (arXiv 2210.13438): train, evaluate, compress.

    from encodec_lab import EncodecModel, convert_audio, compress, decompress, load_model

The names are imported when first used, so that the command line can answer `--help` without loading torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encodec_lab.bitstream.compress import (
        compress,
        compress_to_file,
        decompress,
        decompress_from_file,
    )
    from encodec_lab.data.convert import convert_audio
    from encodec_lab.models.config import CodecConfig
    from encodec_lab.models.encodec import EncodecModel
    from encodec_lab.models.inference import InferenceCodec
    from encodec_lab.models.language_model import LMConfig, LMModel
    from encodec_lab.models.registry import load_model
    from encodec_lab.types import EcdcError, EncodedFrame

_HOMES = {
    "CodecConfig": "encodec_lab.models.config",
    "EcdcError": "encodec_lab.types",
    "EncodecModel": "encodec_lab.models.encodec",
    "EncodedFrame": "encodec_lab.types",
    "InferenceCodec": "encodec_lab.models.inference",
    "LMConfig": "encodec_lab.models.language_model",
    "LMModel": "encodec_lab.models.language_model",
    "compress": "encodec_lab.bitstream.compress",
    "compress_to_file": "encodec_lab.bitstream.compress",
    "convert_audio": "encodec_lab.data.convert",
    "decompress": "encodec_lab.bitstream.compress",
    "decompress_from_file": "encodec_lab.bitstream.compress",
    "load_model": "encodec_lab.models.registry",
}

__all__ = [
    "CodecConfig",
    "EcdcError",
    "EncodecModel",
    "EncodedFrame",
    "InferenceCodec",
    "LMConfig",
    "LMModel",
    "compress",
    "compress_to_file",
    "convert_audio",
    "decompress",
    "decompress_from_file",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys())
