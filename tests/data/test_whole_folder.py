"""A folder appears whole or not at all, and takes no one's place."""

from pathlib import Path

import pytest

from encodec_lab.data.whole_folder import whole_folder


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "new/parents/output"
    with whole_folder(place) as staged:
        (staged / "file").write_text("content")
        assert not place.exists()
        assert staged.parent == place.parent
    assert (place / "file").read_text() == "content"
    assert list(place.parent.iterdir()) == [place]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "output") as staged:
        staged.mkdir()
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    with whole_folder(tmp_path / "output") as staged:
        (staged / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["output", "file"]


@pytest.mark.parametrize("taken_by", ["file", "folder", "link"])
def test_a_place_that_is_taken(tmp_path: Path, taken_by: str) -> None:
    place = tmp_path / "output"
    if taken_by == "file":
        place.touch()
    elif taken_by == "folder":
        (place / "something").mkdir(parents=True)
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(ValueError, match="output exists and is no empty folder"), whole_folder(place):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
