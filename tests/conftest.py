"""Fixtures that tests of several layers share."""

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch

import encodec_lab

REPOSITORY = Path(__file__).parents[1]

# Two cores are shared by the workers of pytest-xdist; one thread each also makes sums repeatable.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the clone."""
    return REPOSITORY


@pytest.fixture(scope="session")
def carried_audio() -> Path:
    """The folder of the clips that the package carries: `{train,valid,test}/{speech,music}/*`."""
    return Path(encodec_lab.__file__).parent / "assets/audio"


@pytest.fixture(scope="session")
def reference_package() -> ModuleType:
    """The reference implementation `encodec` 0.1.1, an oracle for parity tests only.

    It is installed apart (see the Makefile), in `.venv/reference` or the folder that `ENCODEC_REFERENCE` names,
    because its command has the name of ours.
    """
    folder = Path(os.environ.get("ENCODEC_REFERENCE", REPOSITORY / ".venv/reference"))
    if not (folder / "encodec/__init__.py").is_file():
        pytest.skip(f"the reference package is not in {folder}: run `make test`, or set ENCODEC_REFERENCE")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    if find_spec("einops") is None:
        pytest.skip("the reference package needs einops: run `make test`")
    return importlib.import_module("encodec")
