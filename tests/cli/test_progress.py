"""The progress bar appears on a terminal, for several files, after a while; and nowhere else."""

import io
import sys

import pytest

from encodec_lab.cli import progress
from encodec_lab.cli.progress import ProgressBar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _drawn(stream: io.StringIO, num_items: int, elapsed_s: float, monkeypatch: pytest.MonkeyPatch) -> str:
    now_s = [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    with ProgressBar(num_items) as bar:
        now_s[0] = elapsed_s
        bar.show(1, "song.wav")
    return stream.getvalue()


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _drawn(_Terminal(), 2, 2.5, monkeypatch)
    assert "[###############...............] 1/2 song.wav" in text
    assert text.endswith("\r\x1b[K")  # taken away at the end


def test_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _drawn(io.StringIO(), 2, 2.5, monkeypatch) == ""
    assert _drawn(_Terminal(), 1, 2.5, monkeypatch) == ""
    assert _drawn(_Terminal(), 2, 1.5, monkeypatch) == ""
