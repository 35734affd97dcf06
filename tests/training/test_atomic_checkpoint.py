"""A checkpoint that a kill has cut short is never taken up."""

import signal
import subprocess
import sys

import pytest
import torch
from small_run import compose, shrunk

from encodec_lab.training.atomic_checkpoint import AtomicCheckpointIO
from encodec_lab.training.local_logger import drop_metrics_from
from encodec_lab.training.loop import build_trainer, find_checkpoint

# The kernel kills the process when the file that it writes has come to a megabyte.
KILLED_WHILE_SAVING = """
import resource
import signal
import sys
import torch
from encodec_lab.training.atomic_checkpoint import AtomicCheckpointIO

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
AtomicCheckpointIO().save_checkpoint({"global_step": 2, "weights": torch.ones(10_000_000)}, sys.argv[1])
"""


@pytest.fixture
def killed(tmp_path):
    """The folder of a run whose process has been killed while it wrote its second checkpoint."""
    last = tmp_path / "checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": 1, "weights": torch.ones(10)}, last)
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(last)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGXFSZ, result.stderr
    return tmp_path


def test_the_checkpoint_before_is_the_last_one(killed):
    unfinished = [path for path in (killed / "checkpoints").iterdir() if path.suffix == ".part"]
    assert [path.stat().st_size > 0 for path in unfinished] == [True]
    found = find_checkpoint("last", killed)
    assert torch.load(found, weights_only=True)["global_step"] == 1


def test_the_next_one_clears_up(killed):
    last = killed / "checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": 3}, last)
    assert list(last.parent.iterdir()) == [last]
    assert torch.load(last, weights_only=True) == {"global_step": 3}


def test_runs_write_so(noise_folder, tmp_path):
    config = compose("experiment=tiny", *shrunk(noise_folder), f"output_dir={tmp_path}")
    assert isinstance(build_trainer(config).strategy.checkpoint_io, AtomicCheckpointIO)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("a,step\n1,0\n2,1\n3,2\n", "a,step\n1,0\n2,1\n"),
        ("a,step\n1,0\n2,1\n3", "a,step\n1,0\n2,1\n"),
        ("a,step\n1,0\n2,", "a,step\n1,0\n"),
        ("", None),
        ("a,st", None),
    ],
)
def test_metrics_that_a_kill_has_cut_short(tmp_path, content, kept):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    drop_metrics_from(path, 2)
    assert (path.read_text() if path.exists() else None) == kept
