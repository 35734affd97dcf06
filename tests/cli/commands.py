"""Running the command within the test process."""

import io
import sys

import pytest

from encodec_lab.cli.main import main

Capture = pytest.CaptureFixture[str]
BinaryCapture = pytest.CaptureFixture[bytes]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def fails(capture: Capture, *arguments: object) -> str:
    """Run a command that must exit with 1; returns its one line on standard error."""
    capture.readouterr()
    assert run(*arguments) == 1
    out, err = capture.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("encodec: ")
    return err


def piped(capture: BinaryCapture, content: bytes, *arguments: object) -> bytes:
    """Run a command that must succeed with that on standard input; returns its standard output."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", io.TextIOWrapper(_Dribbling(content)))
        capture.readouterr()
        assert run(*arguments) == 0
    out, err = capture.readouterr()
    assert err == b""
    return out


class _Dribbling(io.BufferedReader):
    """A pipe that gives what it holds in pieces, and cannot seek."""

    def __init__(self, content: bytes) -> None:
        super().__init__(_Dribble(content))


class _Dribble(io.RawIOBase):
    def __init__(self, content: bytes) -> None:
        self._left = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        size = min(len(buffer), 37, len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
