"""Importing the library is about as fast as importing torch, and loads nothing of what only training needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EVERYTHING = "from encodec_lab import *"  # the names are loaded lazily, so a bare import would prove little
TRAINING_ONLY = ("lightning", "pytorch_lightning", "hydra", "omegaconf", "wandb")
OPTIONAL = ("scipy", "pesq", "pystoi")


def _run(program: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def _loaded_by(statement: str) -> set[str]:
    return set(json.loads(_run(f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")))


def test_import_loads_no_training_library() -> None:
    loaded = _loaded_by(f"{EVERYTHING}\nimport encodec_lab.metrics, encodec_lab.cli.main")
    assert {"torch", "encodec_lab.models.encodec", "encodec_lab.bitstream.compress"} <= loaded
    assert not loaded & {*TRAINING_ONLY, *OPTIONAL}


def test_nor_does_any_layer_below_training(repository: Path) -> None:
    source = repository / "src"
    modules = [
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in sorted(source.rglob("encodec_lab/**/*.py"))
        if "training" not in path.parts and path.stem not in ("__init__", "__main__")
    ]
    assert len(modules) > 30
    assert not _loaded_by("import " + ", ".join(modules)) & {*TRAINING_ONLY, *OPTIONAL}


def test_the_command_can_answer_without_torch() -> None:
    assert "torch" not in _loaded_by("import encodec_lab, encodec_lab.cli.main")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--help"], 0, "-b KBPS"),
        (["--version"], 0, "encodec-lab 0."),
        (["--nonsense", "a.wav"], 2, "unrecognized arguments: --nonsense"),
        (["--jobs", "0", "a.wav"], 2, "argument -j/--jobs: must be a whole number from 1 on, got '0'"),
        (["--jobs", "two", "a.wav"], 2, "must be a whole number from 1 on, got 'two'"),
        (["-b", "six", "a.wav"], 2, "argument -b/--bandwidth: invalid float value: 'six'"),
        (["--hq", "--model", "x", "a.wav"], 2, "--hq and --model exclude each other"),
        (["a.wav", "b.wav", "c.wav"], 2, "several inputs need --output-dir DIR"),
        (["nowhere.wav"], 1, "encodec: input file nowhere.wav does not exist\n"),
        (["--output-dir", "out", "nowhere"], 1, "encodec: input nowhere does not exist\n"),
        (["here.txt", "out.mp3"], 1, "encodec: output file out.mp3 must end in .ecdc or .wav\n"),
        (["here.txt", "here.ecdc"], 1, "encodec: output file here.ecdc exists; use -f / --force"),
    ],
)
def test_help_and_refusals_come_before_torch(
    arguments: list[str], status: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here.txt", "here.ecdc"):
        (tmp_path / name).touch()
    program = f"""
import sys
from encodec_lab.cli.main import main
status = main({arguments})
assert not {{"torch", "torchaudio", "numpy", "soundfile"}} & sys.modules.keys()
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert expected in done.stdout + done.stderr


def test_a_bundled_model_is_loaded_without_torchs_compiler() -> None:
    """Loading that takes longer than all the rest."""
    loaded = _loaded_by("from encodec_lab import load_model; load_model('lab_24khz').eval()")
    assert "torch.nn" in loaded
    assert not loaded & {"torch._dynamo.convert_frame", "torch._inductor", "sympy"}


@pytest.mark.slow
def test_import_takes_little_longer_than_torch_and_torchaudio() -> None:
    """Processor time, the least of several runs in turn, so that other work on the machine matters little."""
    measure = "import time; {}; print(time.process_time())"
    ours, theirs = [], []
    for _ in range(4):
        theirs.append(float(_run(measure.format("import torch, torchaudio"))))
        ours.append(float(_run(measure.format(EVERYTHING))))
    assert min(ours) < 1.3 * min(theirs)
