"""A folder appears whole or not at all, and takes no one's place."""

from pathlib import Path

import pytest

from encodec_lab.data.atomic_folder import atomic_folder


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "new/parents/output"
    with atomic_folder(place) as staged:
        (staged / "file").write_text("content")
        assert not place.exists()
        assert staged.parent == place.parent
    assert (place / "file").read_text() == "content"
    assert list(place.parent.iterdir()) == [place]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "output") as staged:
        staged.mkdir()
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    with atomic_folder(tmp_path / "output") as staged:
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
    with pytest.raises(ValueError, match="output exists and is no empty folder"), atomic_folder(place):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


def _let_pass(folder: Path) -> None:
    if not (folder / "replaceable").exists():
        raise ValueError(f"{folder} must stay")


def test_what_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / ("n" * 255)
    (place / "something").mkdir(parents=True)
    with pytest.raises(ValueError, match="n must stay"), atomic_folder(place, _let_pass):
        pass
    (place / "replaceable").touch()
    with atomic_folder(place, _let_pass) as staged:
        (staged / "file").touch()
        assert (place / "something").exists()
    assert [path.name for path in place.iterdir()] == ["file"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_rename_that_fails_puts_back_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "output"
    place.mkdir()
    (place / "replaceable").touch()

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no"), atomic_folder(place, _let_pass):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["output", "replaceable"]
