import errno
import os

import pytest

from encodec_lab.data.audio_folder import find_below


def test_folders_are_searched_below_sorted_and_without_hidden_files(write_noise, tmp_path):
    for name in ["b/2.flac", "b/1.WAV", "a.ogg", "b/c/3.mp3", ".hidden.wav", ".git/4.wav"]:
        write_noise(f"set/{name}", 0.1)
    (tmp_path / "set/notes.txt").write_text("not audio")
    names = [path.relative_to(tmp_path / "set").as_posix() for path in find_below(tmp_path / "set")]
    assert names == ["a.ogg", "b/1.WAV", "b/2.flac", "b/c/3.mp3"]


def test_linked_folders_are_followed_once(write_noise, tmp_path):
    write_noise("real/1.wav", 0.1)
    (tmp_path / "set").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "set/linked")
    os.symlink(tmp_path / "set", tmp_path / "real/circle")
    assert find_below(tmp_path / "set") == [tmp_path / "set/linked/1.wav"]


def test_suffixes_in_either_case(tmp_path):
    for name in ("a.ecdc", "b.ECDC", "c.wav", "ecdc"):
        (tmp_path / name).touch()
    assert find_below(tmp_path, (".ecdc",)) == [tmp_path / "a.ecdc", tmp_path / "b.ECDC"]


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ("set/out", ["a.wav"]),
        ("set/linked", ["a.wav"]),  # the same folder by another name
        ("set", ["a.wav", "linked/b.wav"]),
        (".", ["a.wav", "linked/b.wav"]),
        ("set/missing", ["a.wav", "linked/b.wav"]),
    ],
)
def test_a_folder_within_can_be_left_out(tmp_path, left_out, expected):
    (tmp_path / "set/out").mkdir(parents=True)
    (tmp_path / "set/linked").symlink_to(tmp_path / "set/out")
    (tmp_path / "set/a.wav").touch()
    (tmp_path / "set/out/b.wav").touch()
    found = find_below(tmp_path / "set", left_out=tmp_path / left_out)
    assert [path.relative_to(tmp_path / "set").as_posix() for path in found] == expected


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """Root may read all folders, so the refusal is made here."""
    (tmp_path / "open").mkdir()
    locked = tmp_path / "open/locked"
    locked.mkdir()
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(locked))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="Permission denied: .*open/locked"):
        find_below(tmp_path)
