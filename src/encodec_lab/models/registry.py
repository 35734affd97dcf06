"""Models by name or by path: what `load_model` and `--model` accept."""

from pathlib import Path

import torch

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel, published_model
from encodec_lab.models.export_folder import is_export, read_export
from encodec_lab.models.lm_source import PUBLISHED_LMS, LMSource
from encodec_lab.models.pretrained import PUBLISHED_FILES, load_tensors
from encodec_lab.models.transformers_folder import is_transformers_folder, read_transformers

PUBLISHED_CONFIGS = {config.name: config for config in (ENCODEC_24KHZ, ENCODEC_48KHZ)}
# What the command falls back to where Meta's weights cannot be had.
BUNDLED_24KHZ = "lab_24khz"
BUNDLED_48KHZ = "lab_48khz"
BUNDLED_MODELS = Path(__file__).parents[1] / "assets" / "models"


def load_model(name_or_path: str | Path) -> EncodecModel:
    """The model of that name or at that path, in evaluation mode on the CPU.

    Args:
        name_or_path: a name out of `list_model_names()`, an exported folder, or a `.th` file of the reference (a state
            dict, whose architecture is told from its shapes; Meta's language model is taken from beside it if it is
            there). A name goes before a path; `./NAME` is always a path.

    Raises:
        ValueError: if there is no such model; the message lists the names that exist.
        WeightsError: a ValueError, if the weights of a published model cannot be had, or a file holds no weights.
    """
    if str(name_or_path) in list_model_names():
        return load_named_model(str(name_or_path))
    path = Path(name_or_path)
    if path.is_dir():
        return read_transformers(path) if is_transformers_folder(path) else read_export(path)
    if path.is_file():
        return _read_reference_file(path)
    raise ValueError(
        f"no model {str(name_or_path)!r}: neither a name ({', '.join(list_model_names())}), nor an exported folder,"
        " nor a .th file of the reference"
    )


def list_model_names() -> list[str]:
    """The names that need no path: Meta's models, then the ones that the package carries."""
    folders = BUNDLED_MODELS.iterdir() if BUNDLED_MODELS.is_dir() else ()
    return [*PUBLISHED_CONFIGS, *sorted(folder.name for folder in folders if is_export(folder))]


def load_named_model(name: str) -> EncodecModel:
    """The model of that name, one of `list_model_names()`; never a path, so the name may come out of a stream."""
    assert name in list_model_names()
    if name not in PUBLISHED_CONFIGS:
        return read_export(BUNDLED_MODELS / name)
    return published_model(PUBLISHED_CONFIGS[name], pretrained=True, repository=None)


def _read_reference_file(path: Path) -> EncodecModel:
    tensors = load_tensors(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for config in PUBLISHED_CONFIGS.values():
        if shapes == _state_shapes(config):
            model = EncodecModel(config)
            model.load_state_dict(tensors)
            if (path.parent / PUBLISHED_FILES[PUBLISHED_LMS[config.name][0]]).is_file():
                model.lm_source = LMSource(repository=path.parent)
            return model.eval()
    raise ValueError(f"{path}: its tensors fit none of the architectures {', '.join(PUBLISHED_CONFIGS)}")


def _state_shapes(config: CodecConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in EncodecModel(config).state_dict().items()}
