"""Recipes that run in the tests' own process."""

import runpy
import sys

import pytest


@pytest.fixture
def run_recipe(monkeypatch, repository, tmp_path):
    """`run_recipe(name, *arguments)` gives the exit code; started in `tmp_path`, in this process."""

    def start(name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        try:
            runpy.run_path(str(repository / f"recipes/{name}.py"), run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return start
