"""EnCodec models as Hugging Face's `transformers` keeps them, read and written without that package.

    config.json                the architecture, `"model_type": "encodec"`
    model.safetensors          the tensors (read also: pytorch_model.bin, of which only tensors are unpickled)
    preprocessor_config.json   what EncodecFeatureExtractor needs (written, never read)

The layers are the same as ours; what differs is how they are called. Weight normalisation goes by two names there,
`weight_g` and `weight_v` in Meta's own files, `parametrizations.weight.original0` and `1` in newer ones. Both are read;
the first, which every version of `transformers` loads, is written.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from encodec_lab.models.config import ENCODEC_24KHZ, PUBLISHED_NAMES, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import CONFIG_FILE, check_tensors
from encodec_lab.models.pretrained import load_tensors

MODEL_TYPE = "encodec"
WEIGHTS_FILE = "model.safetensors"
PICKLED_WEIGHTS_FILE = "pytorch_model.bin"
PREPROCESSOR_FILE = "preprocessor_config.json"

# Theirs -> ours, where the value is the same.
_SAME_VALUE = {
    "sampling_rate": "sample_rate_hz",
    "audio_channels": "channels",
    "target_bandwidths": "bandwidths",
    "use_causal_conv": "causal",
    "norm_type": "norm",
    "num_filters": "num_filters",
    "hidden_size": "latent_dim",
    "num_residual_layers": "num_residual_units",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "dilation_growth_rate": "dilation_base",
    "compress": "compress",
    "num_lstm_layers": "num_lstm_layers",
    "codebook_size": "codebook_size",
    "normalize": "normalize",
    "chunk_length_s": "segment_s",
}
# Options of theirs that a codec of ours has no choice about.
_FIXED = {"pad_mode": "reflect", "trim_right_ratio": 1.0, "use_conv_shortcut": True}
_PARAMETRIZED = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def is_transformers_folder(folder: Path) -> bool:
    """Whether the folder's config.json is that of an EnCodec model of `transformers`."""
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("model_type") == MODEL_TYPE


def read_transformers(folder: str | Path, name: str | None = None) -> EncodecModel:
    """The model in a folder of `transformers`, in evaluation mode on the CPU, in float32.

    Args:
        folder: what `save_pretrained` wrote, or a download from the Hugging Face hub.
        name: what streams will call the model; None for the folder's name, marked if that is a published model's.

    Raises:
        ValueError: a file is missing or damaged, an option has a value that our architecture cannot express (the
            message names it), or the tensors are not the configuration's.
    """
    folder = Path(folder)
    if not is_transformers_folder(folder):
        raise ValueError(f'{folder} has no {CONFIG_FILE} with "model_type": "{MODEL_TYPE}"')
    values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    if name is None:
        name = folder.absolute().name
        if name in PUBLISHED_NAMES:  # streams of it must not be taken for Meta's
            name = f"{name}_transformers"
    try:
        config = config_from_transformers(values, name)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE}: {error}") from error
    path, theirs = _read_tensors(folder)
    tensors = _our_tensors(theirs, config)
    check_tensors(path, tensors, config)
    model = EncodecModel(config)
    model.load_state_dict(tensors)
    return model.eval()


def write_transformers(folder: str | Path, model: EncodecModel) -> None:
    """Write `model` into an existing folder for `transformers.EncodecModel.from_pretrained`.

    Raises:
        ValueError: the configuration of `transformers` cannot express the codec; the message names what.
    """
    folder = Path(folder)
    values = config_to_transformers(model.config)
    preprocessor = {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": values["audio_channels"],
        "sampling_rate": values["sampling_rate"],
        "chunk_length_s": values["chunk_length_s"],
        "overlap": values["overlap"],
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
    tensors = {
        transformers_name(name): tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / PREPROCESSOR_FILE).write_text(json.dumps(preprocessor, indent=2) + "\n", encoding="utf-8")
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def config_from_transformers(values: Mapping[str, Any], name: str) -> CodecConfig:
    """Our configuration from the content of their config.json; what that leaves out has their default.

    Raises:
        ValueError: an option has a value that our architecture cannot express; the message names it.
    """
    defaults = config_to_transformers(ENCODEC_24KHZ) | {"codebook_dim": None}
    values = defaults | {key: value for key, value in values.items() if key in defaults}
    for option, wanted in _FIXED.items():
        if values[option] != wanted:
            raise ValueError(f"{option} is {values[option]!r}, but a codec here has {wanted!r}")
    if values["codebook_dim"] not in (None, values["hidden_size"]):
        raise ValueError(
            f"codebook_dim {values['codebook_dim']} differs from hidden_size {values['hidden_size']}: "
            "a codec here has no projections around its codebooks"
        )
    if not isinstance(values["upsampling_ratios"], list) or not isinstance(values["target_bandwidths"], list):
        raise ValueError("upsampling_ratios and target_bandwidths must be lists")
    if values["chunk_length_s"] is not None and values["overlap"] is None:
        raise ValueError("chunk_length_s needs an overlap, which is missing")
    ours = {mine: values[theirs] for theirs, mine in _SAME_VALUE.items()}
    ours["strides"] = values["upsampling_ratios"][::-1]
    ours["segment_overlap"] = (
        ENCODEC_24KHZ.segment_overlap if values["overlap"] is None else values["overlap"]
    )
    config = CodecConfig.from_dict(ours | {"name": name})
    _check_expressible(config)
    return config


def config_to_transformers(config: CodecConfig) -> dict[str, Any]:
    """The content of their config.json.

    Raises:
        ValueError: it cannot express the codec; the message names what.
    """
    _check_expressible(config)
    ours = config.to_dict()
    segmented = config.segment_s is not None
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["EncodecModel"],
        **{theirs: ours[mine] for theirs, mine in _SAME_VALUE.items()},
        "upsampling_ratios": ours["strides"][::-1],
        "overlap": config.segment_overlap if segmented else None,
        "codebook_dim": config.latent_dim,
        **_FIXED,
    }


def transformers_name(name: str) -> str:
    """Their name of a tensor, from ours."""
    name = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
    name = re.sub(r"\b(conv|convtr)\.(conv|convtr)\.", "conv.", name)
    name = re.sub(r"\b(conv|convtr)\.norm\.", "norm.", name)
    return re.sub(r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook.", name)


def _check_expressible(config: CodecConfig) -> None:
    if config.num_lstm_layers == 0:
        raise ValueError(
            "num_lstm_layers is 0, but transformers always puts an LSTM between the convolutions"
        )
    for kbps in config.bandwidths:
        num_codebooks = config.num_codebooks_for(kbps)
        # Both of their roundings: how many codebooks a model has, and how many of them a bandwidth takes.
        built = int(1000 * kbps // (config.frame_rate_hz * config.bits_per_codebook))
        used = math.floor(kbps * 1000 / (math.log2(config.codebook_size) * config.frame_rate_hz))
        if (built, used) != (num_codebooks, num_codebooks):
            raise ValueError(
                f"bandwidth {kbps!r} kbps is {num_codebooks} codebooks here, but {min(built, used)} in transformers, "
                "which rounds down in floating point; choose a bandwidth that is slightly higher"
            )


def _read_tensors(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        pickled = folder / PICKLED_WEIGHTS_FILE
        if not pickled.is_file():
            raise ValueError(f"{folder} has neither {WEIGHTS_FILE} nor {PICKLED_WEIGHTS_FILE}")
        return pickled, load_tensors(pickled)
    try:
        return path, load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error


def _our_tensors(theirs: dict[str, Tensor], config: CodecConfig) -> dict[str, Tensor]:
    """Tensors by our names; those that are no part of the codec keep theirs, for the check to find."""
    with torch.device("meta"):
        names = EncodecModel(config).state_dict().keys()
    theirs = dict(theirs)
    ours = {}
    for name in names:
        written = transformers_name(name)
        stem, _, last = written.rpartition(".")
        newer = f"{stem}.{_PARAMETRIZED[last]}" if last in _PARAMETRIZED else written
        found = written if written in theirs else newer
        if found in theirs:
            tensor = theirs.pop(found)
            ours[name] = tensor.float() if tensor.is_floating_point() else tensor
    return ours | theirs
