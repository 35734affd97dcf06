"""Compression checkpoints of Meta's `audiocraft`, read without that package and without OmegaConf.

A checkpoint is a `torch.save`d dictionary. What `audiocraft.utils.export.export_encodec` writes
(`compression_state_dict.bin`) holds

    "xp.cfg"       the run's configuration as YAML text, in which `${a.b}` refers to another option
    "best_state"   the state dict, with the reference implementation's keys
    "version", "exported"

Read too: a dictionary in place of the YAML text, and a state dict one level deeper, `{"model": ...}`, as in the
checkpoints of a running `audiocraft` solver. These themselves hold OmegaConf objects, which only unrestricted
unpickling would load: they are refused with a word on how to export them.

The layout follows audiocraft's sources (utils/export.py, models/builders.py, config/model/encodec/*.yaml). It has been
tested on checkpoints made in that layout from codecs of ours; not on a file that audiocraft has written.
Audiocraft's own presets pad with zeros (`pad_mode: constant`) and skip without a convolution (`true_skip: true`), the
32 kHz codec of MusicGen among them. A codec here cannot express either, so those are refused, by name.
"""

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import check_tensors

_CONFIG_KEY = "xp.cfg"
_STATE_KEY = "best_state"
_HOW_TO_EXPORT = (
    "export it where audiocraft is installed: audiocraft.utils.export.export_encodec(CHECKPOINT, OUTPUT)"
)
# Their names in the group `seanet` -> ours.
_SEANET = {
    "channels": "channels",
    "dimension": "latent_dim",
    "n_filters": "num_filters",
    "n_residual_layers": "num_residual_units",
    "norm": "norm",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "dilation_base": "dilation_base",
    "compress": "compress",
    "lstm": "num_lstm_layers",
    "causal": "causal",
}
# Options that a codec of ours has no choice about; values that mean the same.
_FIXED: dict[str, tuple[Any, ...]] = {
    "compression_model": ("encodec",),
    "encodec.autoencoder": ("seanet",),
    "encodec.quantizer": ("rvq",),
    "seanet.activation": ("ELU",),
    "seanet.activation_params": ({"alpha": 1.0}, {}),
    "seanet.norm_params": ({},),
    "seanet.pad_mode": ("reflect",),
    "seanet.true_skip": (False,),
    "seanet.disable_norm_outer_blocks": (0,),
}
_FIXED_IN_DECODER: dict[str, tuple[Any, ...]] = {
    "trim_right_ratio": (1.0,),
    "final_activation": (None,),
    "final_activation_params": (None, {}),
}


def is_audiocraft_checkpoint(path: Path) -> bool:
    """Whether a file is one of theirs, whatever it holds beside; False for what `torch.load` refuses."""
    try:
        return _is_package(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    except Exception as error:  # torch raises whatever a damaged file provokes
        return "omegaconf" in str(error)


def read_audiocraft(path: str | Path, name: str | None = None) -> EncodecModel:
    """The codec of a compression checkpoint, in evaluation mode on the CPU.

    Args:
        path: the file.
        name: what streams will call the codec; None for the file's name without its suffix.

    Raises:
        ValueError: the file is damaged or no such checkpoint, holds objects that only unrestricted unpickling would
            load, only points to another model, or its architecture has an option that ours cannot express (named).
    """
    path = Path(path)
    package = _load(path)
    try:
        config = audiocraft_config(package[_CONFIG_KEY], name or path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if config.name in (ENCODEC_24KHZ.name, ENCODEC_48KHZ.name):
        raise ValueError(
            f"streams of a codec named {config.name} would be decoded by Meta's weights; name it otherwise"
        )
    state = package[_STATE_KEY]
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: {_STATE_KEY!r} holds no state dict")
    tensors = {
        str(key): value.float() if value.is_floating_point() else value for key, value in state.items()
    }
    check_tensors(path, tensors, config)
    model = EncodecModel(config)
    model.load_state_dict(tensors)
    return model.eval()


def audiocraft_config(content: str | Mapping[str, Any], name: str) -> CodecConfig:
    """Our configuration from theirs, as YAML text or as a dictionary.

    They train either for all codebooks (one bandwidth here) or, with `rvq.q_dropout`, for any number: then there is a
    bandwidth for each power of two, and for all.

    Raises:
        ValueError: an option is missing, or has a value that our architecture cannot express; the message names it.
    """
    options = _parsed(content)
    for option, wanted in _FIXED.items():
        _require(option, _option(options, option), wanted)
    seanet = _option(options, "seanet")
    _check_same_network(seanet, options)
    ours = {mine: _option(options, f"seanet.{theirs}") for theirs, mine in _SEANET.items()}
    for option in ("channels", "causal"):
        if _option(options, f"encodec.{option}") != ours[option]:
            raise ValueError(f"encodec.{option} and seanet.{option} differ")
    num_codebooks, codebook_size = _option(options, "rvq.n_q"), _option(options, "rvq.bins")
    ratios, rate_hz = _option(options, "seanet.ratios"), _option(options, "encodec.sample_rate")
    for option, value in (
        ("rvq.n_q", num_codebooks),
        ("rvq.bins", codebook_size),
        ("encodec.sample_rate", rate_hz),
    ):
        if type(value) is not int or value < 1:
            raise ValueError(f"{option} must be a positive integer, got {value!r}")
    if not isinstance(ratios, list) or not all(type(ratio) is int and ratio > 0 for ratio in ratios):
        raise ValueError(f"seanet.ratios must be a list, of positive integers, got {ratios!r}")
    counts = {num_codebooks}
    if _option(options, "rvq.q_dropout", False):
        counts |= {2**power for power in range(num_codebooks.bit_length()) if 2**power <= num_codebooks}
    # As `CodecConfig` counts them.
    bits_per_second = (codebook_size.bit_length() - 1) * math.ceil(rate_hz / math.prod(ratios))
    codec = {
        **ours,
        "name": name,
        "sample_rate_hz": rate_hz,
        "strides": ratios[::-1],
        "codebook_size": codebook_size,
        "normalize": bool(_option(options, "encodec.renormalize", False)),
        "segment_s": None,
        "segment_overlap": ENCODEC_24KHZ.segment_overlap,
        "bandwidths": [round(count * bits_per_second / 1000, 6) for count in sorted(counts)],
    }
    config = CodecConfig.from_dict(codec)
    assert config.num_codebooks == num_codebooks
    return config


def _is_package(content: object) -> bool:
    return isinstance(content, Mapping) and (
        "pretrained" in content or {_CONFIG_KEY, _STATE_KEY} <= content.keys()
    )


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"objects ({found[1]})" if found else "objects"
        raise ValueError(f"{path} holds {what} that would run code when loaded; {_HOW_TO_EXPORT}") from error
    except Exception as error:  # torch raises whatever a damaged file provokes
        raise ValueError(f"{path} cannot be read as a PyTorch file: {error}") from error
    if not _is_package(package):
        raise ValueError(f"{path} is no compression checkpoint: it has no {_CONFIG_KEY!r} and {_STATE_KEY!r}")
    if "pretrained" in package:
        raise ValueError(
            f"{path} holds no weights, it only points to {package['pretrained']!r}: download that one instead"
        )
    return dict(package)


def _parsed(content: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(content, str):
        try:
            import yaml  # type: ignore[import-untyped]
        except ImportError as error:
            raise ValueError(
                "to read the configuration of audiocraft needs PyYAML: pip install 'encodec-lab[export]'"
            ) from error
        try:
            content = yaml.safe_load(content)
        except yaml.YAMLError as error:
            raise ValueError(f"{_CONFIG_KEY!r} is no YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{_CONFIG_KEY!r} must be YAML text or a dictionary of options")
    return content


_MISSING = object()


def _option(options: Mapping[str, Any], dotted: str, default: Any = _MISSING, depth: int = 0) -> Any:
    """An option by its dotted name, with `${a.b}` followed."""
    if depth > 20:
        raise ValueError(f"option {dotted} refers to itself")
    value: Any = options
    for part in dotted.split("."):
        if not isinstance(value, Mapping) or part not in value:
            if default is not _MISSING:
                return default
            raise ValueError(f"option {dotted} is missing")
        value = value[part]
    if isinstance(value, str) and "${" in value:
        reference = re.fullmatch(r"\$\{([\w.]+)\}", value)
        if reference is None:
            raise ValueError(f"option {dotted} is {value!r}, which only OmegaConf can resolve")
        return _option(options, reference[1], default, depth + 1)
    return value


def _check_same_network(seanet: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Encoder and decoder may override what they share: here they cannot differ."""
    for side, fixed in (("encoder", {}), ("decoder", _FIXED_IN_DECODER)):
        for option in _option(options, f"seanet.{side}", {}) or {}:
            value = _option(options, f"seanet.{side}.{option}")
            if option in fixed:
                _require(f"seanet.{side}.{option}", value, fixed[option])
            elif option not in seanet or value != _option(options, f"seanet.{option}"):
                raise ValueError(
                    f"seanet.{side}.{option} is {value!r}, but encoder and decoder share all options here"
                )


def _require(option: str, value: object, wanted: tuple[Any, ...]) -> None:
    if value not in wanted:
        raise ValueError(f"{option} is {value!r}, but a codec here has {wanted[0]!r}")
