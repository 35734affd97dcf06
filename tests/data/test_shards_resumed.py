"""Shards that were being packed when the process ended are gone on with, to the same bytes."""

import fcntl
import os
import shutil

import pytest

from encodec_lab.data.audio_file import BadAudioWarning
from encodec_lab.data.shard_building import write_shards

NUM_FILES = 8
SHARD_BYTES = 50_000


@pytest.fixture
def folder(write_noise, tmp_path):
    for i in range(NUM_FILES):
        write_noise(f"set/{i}.flac", 0.3 + i / 20)
    return tmp_path / "set"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pack(folder, place, *, shard_bytes=SHARD_BYTES, max_bad_share=0.0):
    """The shards' contents, and the names of the files that were read for them."""
    seen = []
    write_shards(folder, place, shard_bytes, max_bad_share, lambda _, __, name: seen.append(name))
    return contents(place), seen


@pytest.fixture
def unbroken(folder, tmp_path):
    packed, seen = pack(folder, tmp_path / "unbroken")
    assert len(packed) > 3 and len(seen) == NUM_FILES
    return packed


def stop_after(folder, place, num_files):
    class Killed(BaseException):
        pass

    def stop(done, total, name):
        if done == num_files:
            raise Killed

    with pytest.raises(Killed):
        write_shards(folder, place, SHARD_BYTES, 0.5, stop)
    assert not place.exists()
    return place.with_name(f".{place.name}.part")


def names(first):
    return [f"{number}.flac" for number in range(first, NUM_FILES)]


@pytest.mark.parametrize("num_done", [1, 4, NUM_FILES])
@pytest.mark.parametrize("damage", ["", "half a line", "half a file", "a shard begun"])
def test_what_was_packed_is_not_packed_again(folder, unbroken, tmp_path, num_done, damage):
    staged = stop_after(folder, tmp_path / "shards", num_done)
    kept = num_done
    newest = max(staged.glob("shard-*.tar"))
    if damage == "half a line":
        journal = staged / ".journal"
        journal.write_bytes(journal.read_bytes()[:-20])
        kept -= 1
    elif damage == "half a file":
        with newest.open("ab") as shard:
            shard.write(b"half a file")
    elif damage == "a shard begun":
        (staged / f"shard-{int(newest.stem[-5:]) + 1:05d}.tar").write_bytes(b"half a file")
    packed, seen = pack(folder, tmp_path / "shards")
    assert packed == unbroken
    assert seen == names(kept)
    assert not staged.exists()


def test_again_from_where_a_file_has_changed(folder, write_noise, tmp_path):
    stop_after(folder, tmp_path / "shards", 6)
    write_noise("set/3.flac", 1.0)
    packed, seen = pack(folder, tmp_path / "shards")
    assert seen == names(3)
    assert packed == pack(folder, tmp_path / "anew")[0]


def test_again_from_where_a_file_may_have_changed(folder, unbroken, tmp_path):
    """Of the same length, but not of the same time."""
    stop_after(folder, tmp_path / "shards", 6)
    os.utime(folder / "3.flac", ns=(0, 0))
    assert pack(folder, tmp_path / "shards") == (unbroken, names(3))


def test_a_file_that_was_bad_for_another_reason_is_looked_at_again(folder, unbroken, tmp_path):
    """As when reading it failed, of which the file itself shows nothing."""
    bad = folder / "2.flac"
    content, status = bad.read_bytes(), bad.stat()
    bad.write_bytes(b"x" * len(content))
    os.utime(bad, ns=(status.st_atime_ns, status.st_mtime_ns))
    stop_after(folder, tmp_path / "shards", 6)
    bad.write_bytes(content)
    os.utime(bad, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pack(folder, tmp_path / "shards") == (unbroken, names(2))


def test_again_with_shards_of_another_size(folder, tmp_path):
    stop_after(folder, tmp_path / "shards", 6)
    packed, seen = pack(folder, tmp_path / "shards", shard_bytes=1 << 20)
    assert seen == names(0)
    assert packed == pack(folder, tmp_path / "anew", shard_bytes=1 << 20)[0]
    assert packed.keys() == {"shard-00000.tar", "index.jsonl"}


def test_again_from_where_a_shard_has_lost_its_end(folder, unbroken, tmp_path):
    staged = stop_after(folder, tmp_path / "shards", NUM_FILES)
    shard = staged / "shard-00001.tar"
    shard.write_bytes(shard.read_bytes()[:1_000])
    packed, seen = pack(folder, tmp_path / "shards")
    assert packed == unbroken
    assert 0 < len(seen) < NUM_FILES


@pytest.mark.parametrize("is_mended", [False, True])
def test_a_file_that_was_bad_is_looked_at_again(folder, write_noise, tmp_path, is_mended):
    bad, hidden = folder / "2.flac", tmp_path / "hidden.flac"
    shutil.copy(bad, hidden)
    bad.write_bytes(b"x" * 99)
    stop_after(folder, tmp_path / "shards", 6)
    if is_mended:
        shutil.copy(hidden, bad)
        packed, seen = pack(folder, tmp_path / "shards")
        assert packed == pack(folder, tmp_path / "anew")[0]
    else:
        with pytest.warns(BadAudioWarning, match=r"1 of 8 .*2\.flac"):
            _, seen = pack(folder, tmp_path / "shards", max_bad_share=0.5)
    assert seen == names(2 if is_mended else 6)


def test_not_while_another_run_is_at_it(folder, unbroken, tmp_path):
    staged = stop_after(folder, tmp_path / "shards", 4)
    with (staged / ".journal").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is writing here"):
            pack(folder, tmp_path / "shards")
    assert pack(folder, tmp_path / "shards") == (unbroken, names(4))
