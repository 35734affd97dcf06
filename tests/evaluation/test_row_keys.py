"""A key changes with everything that a score depends on."""

import os
from pathlib import Path

import pytest

from encodec_lab.evaluation import row_keys
from encodec_lab.evaluation.row_keys import file_identity, package_version, row_key


def test_key_tells_all_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    file = ("/a.wav", 10, 20)
    keys = [
        row_key(file, "s", 6.0, 24_000, 1),
        row_key(("/b.wav", 10, 20), "s", 6.0, 24_000, 1),
        row_key(file, "t", 6.0, 24_000, 1),
        row_key(file, "s", None, 24_000, 1),
        row_key(file, "s", 6.0, 48_000, 1),
        row_key(file, "s", 6.0, 24_000, 2),
    ]
    assert row_key(file, "s", 6.0, 24_000, 1) == keys[0]
    monkeypatch.setattr(row_keys, "programs_identity", lambda: "other")
    keys.append(row_key(file, "s", 6.0, 24_000, 1))
    assert len(set(keys)) == 7


def test_packages_and_code_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = row_keys.programs_identity.__wrapped__
    known = identity()
    assert identity() == known
    monkeypatch.setattr(row_keys, "package_version", lambda name: "0" if name == "pesq" else "1")
    assert identity() != known
    monkeypatch.undo()
    monkeypatch.setattr(row_keys, "_CODE", row_keys._CODE[1:])
    assert identity() != known
    root = Path(row_keys.__file__).parents[1]
    assert all((root / part).exists() for part in row_keys._CODE)


def test_a_file_is_told_by_place_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    first = file_identity(path)
    monkeypatch.chdir(tmp_path)
    assert file_identity("a.wav") == first
    os.utime(path, ns=(0, 1))
    assert file_identity(path) != first
    with pytest.raises(FileNotFoundError):
        file_identity("b.wav")


def test_a_package_that_is_not_there() -> None:
    assert package_version("no-such-package") == "none"
    assert package_version("torch") != "none"
