"""Exported models: a folder that needs nothing else, and no pickle.

    config.json         {"format": "encodec-lab", "format_version": 1, "identity": ..., "codec": ...,
                        "lm": {"kind": ..., "identity": ..., "config": ...}, "provenance": ...}
    codec.safetensors   the codec's state dict
    lm.safetensors      the language model's; like `lm`, only if there is one
    README.md           a model card

`codec` and `config` are what the configurations' `to_dict` gives, `identity` is the hash of the tensors
(`identity.py`), `kind` a key of `LM_KINDS`, `provenance` says where the weights come from, in any form.
"""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from encodec_lab.data.atomic_folder import atomic_folder
from encodec_lab.models.config import CodecConfig, check_own_name
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.identity import tensors_identity
from encodec_lab.models.integer_lm import IntegerLM, IntegerLMConfig
from encodec_lab.models.language_model import LMConfig, LMModel
from encodec_lab.models.lm_source import AnyLM, LMSource

FORMAT = "encodec-lab"
FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
CODEC_FILE = "codec.safetensors"
LM_FILE = "lm.safetensors"
CARD_FILE = "README.md"
# Language models by the `kind` that config.json calls them.
LM_KINDS: dict[str, tuple[type[LMConfig] | type[IntegerLMConfig], type[AnyLM]]] = {
    "transformer": (LMConfig, LMModel),
    "integer_transformer": (IntegerLMConfig, IntegerLM),
}


def write_export(
    folder: str | Path,
    model: EncodecModel,
    provenance: Mapping[str, Any],
    model_card: str,
    lm: AnyLM | None = None,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write `model` as a folder that `read_export` and `load_model` take.

    The folder is written under another name beside its place and renamed, so it appears whole or not at all. An
    earlier export at that place is replaced (see `atomic_folder` for what a killed process leaves); anything else there
    is left alone. A file whose floating-point values all fit half precision holds them so.

    Args:
        folder: its parent is made if need be.
        model: its `name` is what streams will call it.
        provenance: JSON values that say where the weights come from.
        model_card: Markdown text.
        lm: a language model for the codec, which `get_lm_model` of what is read then gives.
        check: called with the folder that is written, before it is renamed; what it raises keeps it from appearing.

    Raises:
        ValueError: the name is one of Meta's codecs, the place is taken by something that is no export, a tensor is not
            finite, `provenance` is not JSON, or the language model is one for another codec.
    """
    check_own_name(model.name)
    files = {CODEC_FILE: _finite_tensors(model, f"model {model.name!r}")}
    description: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "identity": tensors_identity(files[CODEC_FILE]),
        "codec": model.config.to_dict(),
    }
    if lm is not None:
        _check_lm_fits(lm.config, model.config)
        files[LM_FILE] = _finite_tensors(lm, f"the language model of {model.name!r}")
        (kind,) = (kind for kind, (_, lm_class) in LM_KINDS.items() if type(lm) is lm_class)
        identity = tensors_identity(files[LM_FILE])
        description["lm"] = {"kind": kind, "identity": identity, "config": lm.config.to_dict()}
    description["provenance"] = dict(provenance)
    try:
        config_text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"provenance must hold JSON values only: {error}") from error
    with atomic_folder(folder, _check_replaceable) as staged:
        for file_name, tensors in files.items():
            save_file(_packed(tensors), staged / file_name)
        (staged / CARD_FILE).write_text(model_card, encoding="utf-8")
        (staged / CONFIG_FILE).write_text(config_text, encoding="utf-8")
        if check is not None:
            check(staged)


@torch.no_grad()
def round_to_half_(model: nn.Module) -> None:
    """Round single-precision weights to half precision, which they then take on disk; ValueError if one is too big."""
    for name, tensor in model.state_dict().items():
        if tensor.dtype is torch.float32:
            rounded = tensor.half()
            if not bool(rounded.isfinite().all()):
                raise ValueError(
                    f"tensor {name} has values beyond {torch.finfo(torch.half).max:g}: keep it as it is"
                )
            tensor.copy_(rounded)


def read_export(folder: str | Path) -> EncodecModel:
    """The model in an exported folder, in evaluation mode on the CPU.

    Raises:
        ValueError: a file is missing, is of another format or a newer version, or the tensors are not the ones that the
            configuration asks for or that were exported; the message names the file.
    """
    folder = Path(folder)
    description = _read_description(folder)
    try:
        config = CodecConfig.from_dict(description["codec"])
        lm_config, lm_class = _lm_architecture(description.get("lm"), config)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE}: {error}") from error
    tensors = _read_tensors(folder / CODEC_FILE, lambda: EncodecModel(config), description["identity"])
    model = EncodecModel(config)
    model.load_state_dict(tensors)
    if lm_config is not None:
        build_lm: Callable[[], AnyLM] = functools.partial(lm_class, lm_config)  # type: ignore[arg-type]  # a pair of LM_KINDS
        tensors = _read_tensors(folder / LM_FILE, build_lm, description["lm"].get("identity"))
        lm = build_lm()
        lm.load_state_dict(tensors)
        model.lm_source = LMSource(lm.eval())
    return model.eval()


def is_export(folder: Path) -> bool:
    """Whether the folder holds an export of any version."""
    try:
        description = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(description, dict) and description.get("format") == FORMAT


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{folder} is not an exported model: it has no {CONFIG_FILE}")
    if not is_export(folder):
        raise ValueError(
            f'{path} does not describe an exported model: it must be JSON with "format": "{FORMAT}"'
        )
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format_version {version!r} is unknown; this program reads {FORMAT_VERSION}"
        )
    for key, kind in (("codec", dict), ("identity", str)):
        if type(description.get(key)) is not kind:
            raise ValueError(f"{path}: the key {key!r} is missing or no {kind.__name__}")
    return description


def _lm_architecture(
    entry: object, codec: CodecConfig
) -> tuple[LMConfig | IntegerLMConfig | None, type[AnyLM]]:
    """The configuration and class of the language model that config.json describes, None if it describes none."""
    if entry is None:
        return None, LMModel
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        raise ValueError("the key 'lm' must hold an object with kind, identity and config")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in LM_KINDS:
        raise ValueError(
            f"language models of kind {kind!r} are unknown; this program reads {', '.join(LM_KINDS)}"
        )
    config_class, lm_class = LM_KINDS[kind]
    config = config_class.from_dict(entry["config"])
    _check_lm_fits(config, codec)
    return config, lm_class


def _check_lm_fits(lm: LMConfig | IntegerLMConfig, codec: CodecConfig) -> None:
    if (lm.num_codebooks, lm.codebook_size) != (codec.num_codebooks, codec.codebook_size):
        raise ValueError(
            f"a language model of {lm.num_codebooks} codebooks of {lm.codebook_size} entries does not fit codec"
            f" {codec.name!r}, which has {codec.num_codebooks} of {codec.codebook_size}"
        )


def _finite_tensors(module: nn.Module, what: str) -> dict[str, Tensor]:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"tensor {name} of {what} is not finite: such a model is not worth exporting")
    return tensors


def _packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, in half precision if none of them changes by it."""
    halves = {name: tensor.half() for name, tensor in tensors.items() if tensor.dtype is torch.float32}
    if not all(torch.equal(half.float(), tensors[name]) for name, half in halves.items()):
        return dict(tensors)
    return {**tensors, **halves}


def _read_tensors(path: Path, build: Callable[[], nn.Module], identity: object) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path.parent} is not a complete export: it has no {path.name}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    tensors = {
        name: tensor.float() if tensor.dtype is torch.half else tensor for name, tensor in tensors.items()
    }
    _check_state(path, tensors, build)
    if tensors_identity(tensors) != identity:
        raise ValueError(
            f"{path} does not hold the tensors that {CONFIG_FILE} was written for; export the model anew"
        )
    return tensors


def check_tensors(path: Path, tensors: Mapping[str, Tensor], config: CodecConfig) -> None:
    """ValueError unless the tensors, read from `path`, are by name, shape and dtype those of a codec of `config`."""
    _check_state(path, tensors, lambda: EncodecModel(config))


def _check_state(path: Path, tensors: Mapping[str, Tensor], build: Callable[[], nn.Module]) -> None:
    with torch.device(
        "meta"
    ):  # shapes only: a configuration out of a file allocates nothing before it is believed
        expected = build().state_dict()
    if missing := sorted(expected.keys() - tensors.keys()):
        raise ValueError(f"{path} lacks {len(missing)} tensors of the model, among them {missing[0]}")
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise ValueError(
            f"{path} holds {len(unknown)} tensors that the model has not, among them {unknown[0]}"
        )
    for name, tensor in tensors.items():
        wanted = expected[name]
        if (tensor.shape, tensor.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{path}: tensor {name} is {tensor.dtype} {list(tensor.shape)}, but {CONFIG_FILE} makes it"
                f" {wanted.dtype} {list(wanted.shape)}"
            )


def _check_replaceable(folder: Path) -> None:
    """ValueError unless the folder holds an export, and nothing else."""
    others = sorted({path.name for path in folder.iterdir()} - {CONFIG_FILE, CODEC_FILE, LM_FILE, CARD_FILE})
    if others:
        raise ValueError(
            f"{folder} holds other things than an export ({others[0]}); choose another place, or clear it"
        )
    if not is_export(folder):
        raise ValueError(f"{folder} exists and is not an export of ours; choose another place, or clear it")
