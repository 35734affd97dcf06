"""A file appears whole or not at all, whatever it is called."""

import shutil
from pathlib import Path

import pytest

from encodec_lab.data.atomic_file import atomic_file


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with atomic_file(path) as staged:
        staged.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(FileNotFoundError), atomic_file(path) as staged:
        shutil.copyfile(path.with_name("nothing"), staged)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 255, "\N{EURO SIGN}" * 85, "\N{GRINNING FACE}" * 63])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as staged:
        staged.write_text("content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
