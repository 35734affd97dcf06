"""The progress bar appears on a terminal, after a while, and nowhere else; lines take its place."""

import io
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli.commands import Capture, run

from encodec_lab.cli import progress, transcode
from encodec_lab.cli.messages import say
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
        bar.show(0.5 * num_items, "song.wav")
    return stream.getvalue()


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _drawn(_Terminal(), 2, 2.5, monkeypatch)
    assert "[###############...............] 50 % 1/2 song.wav" in text
    assert text.endswith("\r\x1b[K")  # taken away at the end
    assert "[###############...............] 50 % song.wav" in _drawn(_Terminal(), 1, 2.5, monkeypatch)


def test_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _drawn(io.StringIO(), 2, 2.5, monkeypatch) == ""
    assert _drawn(_Terminal(), 2, 1.5, monkeypatch) == ""


def test_a_line_takes_the_place_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, expected in (
        (_Terminal(), "\r\x1b[Kencodec: two lines\n"),
        (io.StringIO(), "encodec: two lines\n"),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        say("two\nlines")
        assert stream.getvalue() == expected


@contextmanager
def _pseudo_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Standard error is a pseudo-terminal; what was shown there is in the list afterwards."""
    reading, writing = pty.openpty()
    shown: list[str] = []
    try:
        with monkeypatch.context() as patched, os.fdopen(writing, "w") as terminal:
            patched.setattr(sys, "stderr", terminal)
            yield shown
            terminal.flush()
            os.write(writing, b"END")
            text = b""
            while not text.endswith(b"END"):
                text += os.read(reading, 4096)
        shown.append(text[:-3].decode())
    finally:
        os.close(reading)


def test_the_command_on_a_terminal_and_elsewhere(
    recording: Path, mono_export: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(progress, "SHOWN_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "_MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(transcode, "BLOCK_S", 0.05)
    arguments = ("-f", "--model", mono_export, recording, recording.with_name("out.wav"))
    with _pseudo_terminal(monkeypatch) as shown:
        assert run(*arguments) == 0
    (text,) = shown
    shares = [int(part.split("]")[1].split("%")[0]) for part in text.split("[")[1:] if "%" in part]
    assert shares[0] == 0 and shares[-1] == 100 and shares == sorted(shares) and len(shares) > 5, text
    assert text.endswith("\r\x1b[K")
    assert run(*arguments) == 0
    assert capsys.readouterr() == ("", "")
