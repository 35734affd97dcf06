import io

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.audio_file import AudioFileError, probe, read_crop, read_whole
from encodec_lab.data.file_part import FilePart, PartReader, open_binary


def embedded(path, container):
    """The file's bytes in the middle of another file."""
    content = path.read_bytes()
    container.write_bytes(b"x" * 777 + content + b"y" * 999)
    return FilePart(str(container), path.name, 777, len(content))


def test_reads_what_lies_in_the_span_and_no_more(tmp_path):
    (tmp_path / "all").write_bytes(bytes(range(100)))
    with PartReader(FilePart(str(tmp_path / "all"), "part", 10, 20)) as part:
        assert part.read() == bytes(range(10, 30))
        assert part.seek(-5, 2) == 15 and part.read(100) == bytes(range(25, 30))
        assert part.seek(3) == 3 and part.read(2) == b"\x0d\x0e" and part.tell() == 5
        assert part.seek(2, 1) == 7 and part.seek(50) == 50 and part.read(1) == b""
    with PartReader(FilePart(str(tmp_path / "all"), "", 90, None)) as part:
        assert part.read() == bytes(range(90, 100))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.opus"])
def test_audio_in_a_span_is_that_of_the_file(write_noise, tmp_path, name):
    path = write_noise(name, 3.0, 48_000, 2)
    part = embedded(path, tmp_path / "container")
    info, plain = probe(part), probe(path)
    assert (info.num_samples, info.sample_rate_hz, info.channels) == (plain.num_samples, 48_000, 2)
    assert info.source == part and plain.source == path
    for offset in (0, 1_000, 70_001, 143_000):
        assert torch.equal(read_crop(part, offset, 4_800), read_crop(path, offset, 4_800))
    assert torch.equal(read_whole(part)[0], read_whole(path)[0])


def test_a_span_at_a_url(write_noise, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    path = write_noise("a.flac")
    content = path.read_bytes()
    with fsspec.open("memory://parts/container", "wb") as file:
        file.write(b"x" * 50 + content)
    for part in (
        FilePart("memory://parts/container", "a.flac", 50, len(content)),
        FilePart(f"file://{path}", "", 0, None),
    ):
        assert torch.equal(read_crop(part, 5_000, 100), read_crop(path, 5_000, 100))
    with open_binary(f"file://{path}") as file:
        assert file.read() == content


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    (tmp_path / "junk").write_bytes(b"no audio" * 100)
    for part, words in [
        (FilePart(str(tmp_path / "junk"), "a.flac", 8, 80), r"junk/a\.flac: cannot be read as audio"),
        (FilePart(str(tmp_path / "nowhere"), "a.flac", 0, 80), r"nowhere/a\.flac: .*No such file"),
        (FilePart("memory://nowhere/at/all", "a.flac", 0, 80), r"nowhere/at/all/a\.flac: "),
    ]:
        with pytest.raises(AudioFileError, match=words) as caught:
            probe(part)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="nosuchstore"):
        open_binary("nosuchstore://a/b")


def test_a_failure_while_reading_is_the_reason_that_is_given(write_noise, tmp_path, monkeypatch, capfd):
    path = write_noise("a.wav", 20.0)
    part = embedded(path, tmp_path / "container")
    reads = []

    class Flaky(io.FileIO):
        def seek(self, *arguments):
            reads.append(arguments)
            if len(reads) > 5:
                raise ConnectionResetError(104, "the store went away")
            return super().seek(*arguments)

    monkeypatch.setattr("encodec_lab.data.file_part.open_binary", Flaky)
    with pytest.raises(AudioFileError, match=r"a\.wav: .*the store went away"):
        read_crop(part, 0, 480_000)
    assert capfd.readouterr().err == ""


def test_a_truncated_container(write_noise, tmp_path):
    part = embedded(write_noise("a.wav"), tmp_path / "container")
    (tmp_path / "container").write_bytes((tmp_path / "container").read_bytes()[:50_000])
    with pytest.raises(AudioFileError, match=r"container/a\.wav: "):
        read_whole(part)


def test_many_reads_leave_no_file_open(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 24_000)
    part = embedded(tmp_path / "a.wav", tmp_path / "container")
    for _ in range(2_000):  # more than a process may have open
        read_crop(part, 0, 10)
