"""The weights that Meta published (CC BY-NC 4.0), from torch.hub's cache, the network or a folder."""

import hashlib
import pickle
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import torch
from torch import Tensor

ROOT_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
PUBLISHED_FILES = {
    "encodec_24khz": "encodec_24khz-d7cc33bc.th",
    "encodec_48khz": "encodec_48khz-7e698e3e.th",
    "encodec_lm_24khz": "encodec_lm_24khz-1608e3c0.th",
    "encodec_lm_48khz": "encodec_lm_48khz-7add9fc3.th",
}


class WeightsError(ValueError):
    """Weights that are not at hand or not what they should be; the message says which file to put where."""


def load_published_weights(name: str, repository: Path | str | None = None) -> dict[str, Tensor]:
    """The state dict that Meta published under `name`, a key of `PUBLISHED_FILES`, on the CPU.

    The file is looked for in `repository`, a folder, if that is given; otherwise in torch.hub's cache, where it is
    downloaded to when missing. The start of its SHA-256, which its name carries, is checked in each case, and nothing
    but tensors is unpickled.

    Raises:
        WeightsError: if the file cannot be had or is not the published one.
        ValueError: for an unknown name.
    """
    if name not in PUBLISHED_FILES:
        raise ValueError(f"no weights were published as {name!r}; there are {', '.join(PUBLISHED_FILES)}")
    file_name = PUBLISHED_FILES[name]
    if repository is None:
        path = _cached_file(file_name)
    else:
        path = Path(repository) / file_name
        if not path.is_file():
            raise WeightsError(
                f"repository {str(repository)!r} has no file {file_name}; put {ROOT_URL}{file_name} there"
            )
    _check_hash(path)
    return load_tensors(path)


def load_tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors by name of a state dict that `torch.save` wrote; WeightsError if the file holds anything else."""
    state = load_torch_file(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict: it must map names to tensors and nothing else")
    return {str(name): tensor for name, tensor in state.items()}


def load_torch_file(path: Path | str) -> object:
    """What `torch.save` wrote, on the CPU: tensors, plain values and their containers, nothing else is unpickled.

    Raises:
        WeightsError: the file cannot be read, is no such file, or holds other things.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever a damaged file provokes
        # Of an UnpicklingError torch makes advice to read the file all the same.
        refused = isinstance(error, pickle.UnpicklingError)
        reason = "damaged, or holding more than tensors and plain values" if refused else _first_line(error)
        raise WeightsError(f"{path} cannot be read as a PyTorch file: {reason}") from error


def _cached_file(file_name: str) -> Path:
    """The file in torch.hub's cache, downloaded if missing: to a file beside it, renamed once its hash is right."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / file_name
    if path.exists():
        return path
    url = ROOT_URL + file_name
    watched = sys.stderr.isatty()
    if watched:
        print(f"downloading {url} to {folder}", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), _hash_prefix(file_name), progress=watched)
    except (
        OSError,
        HTTPException,
        RuntimeError,
    ) as error:  # no network, HTTP status, wrong hash, folder not writable
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise WeightsError(
            f"cannot download {url} ({_first_line(error)}); put that file into {folder}, or into a folder of your"
            " choice, and give repository=FOLDER in Python; on the command line --model names the codec's file in such"
            " a folder"
        ) from error
    return path


def _check_hash(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    expected = _hash_prefix(path.name)
    if not digest.hexdigest().startswith(expected):
        raise WeightsError(
            f"{path} is damaged or another file: its SHA-256 starts with {digest.hexdigest()[: len(expected)]}"
            f" instead of {expected}; delete it, and fetch {ROOT_URL}{path.name} anew"
        )


def _hash_prefix(file_name: str) -> str:
    return Path(file_name).stem.rsplit("-", 1)[1]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
