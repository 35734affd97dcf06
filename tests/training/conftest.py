"""Audio to train on, made on the spot, and programs that run in the tests' own process."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from small_run import REPOSITORY


@pytest.fixture(scope="session")
def noise_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with half a second of coloured noise each in `train/{a,b}.wav` and `valid/{c,d,e}.wav`, 24 kHz mono.

    Three clips to validate on, the last one loud: two ranks get unequal shares of unequal scores.
    """
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for name in ("train/a.wav", "train/b.wav", "valid/c.wav", "valid/d.wav", "valid/e.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        noise = np.convolve(rng.standard_normal(12_000), np.hanning(16) / 8, mode="same")
        level = 0.3 if name == "valid/e.wav" else 0.1
        soundfile.write(root / name, level * noise.clip(-3, 3), 24_000)
    return root


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """`run_script("train.py", *arguments)`: a program of the repository, started in `tmp_path`, gives its exit code.

    It runs in this process, which saves the seconds that imports take; `small_run.start_program` starts a real one.
    """

    def start(script: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        try:
            runpy.run_path(str(REPOSITORY / script), run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the programs set it: here it is put back afterwards
    yield start
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
