"""Running the command within the test process."""

import pytest

from encodec_lab.cli.main import main

Capture = pytest.CaptureFixture[str]


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
