import gzip
import json
import tarfile

import pytest
import torch

from encodec_lab.data.audio_file import BadAudioWarning
from encodec_lab.data.clips import ClipDataset
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.file_part import FilePart
from encodec_lab.data.manifest import list_audio, load_sources
from encodec_lab.data.manifest_building import build_manifest
from encodec_lab.data.mixing import Mixing, Strategy
from encodec_lab.data.shard_building import write_shards
from encodec_lab.data.speed import RandomSpeed
from encodec_lab.data.tar_shards import audio_members

LONG_NAME = "long " * 40 + "é"


@pytest.fixture
def folder(write_noise, tmp_path):
    for i in range(5):
        write_noise(f"set/{i % 2}/{i}.flac", 1.0)
    write_noise("set/stereo.ogg", 1.5, 44_100, 2)
    write_noise(f"set/{LONG_NAME}.wav", 0.7)
    return tmp_path / "set"


@pytest.fixture
def shards(folder, tmp_path):
    summary = write_shards(folder, tmp_path / "shards", 60_000, 0.0)
    assert (summary.num_files, round(summary.duration_s, 1)) == (7, 7.2)
    assert summary.num_shards == len(list((tmp_path / "shards").glob("*.tar"))) > 2
    return tmp_path / "shards"


def crops(spec, augmentations):
    sources = load_sources(spec, 0.0)
    return CropDataset(sources, 6_000, 24_000, 1, 3, -60.0, 8, augmentations)


def same_crops(one, other, num_crops=40, mixing=False):
    strategies = {str(n): Strategy(0.5, n, None, [], reverb=False) for n in (1, 2)}
    augmentations = CropAugmentations(
        RandomSpeed(0.5, [0.9, 1.1]), mixing=Mixing(strategies, [-10, 6], 8) if mixing else None
    )
    data = [crops(spec, augmentations) for spec in (one, other)]
    return all(torch.equal(data[0].draw(i).wav, data[1].draw(i).wav) for i in range(num_crops))


def test_any_tar_program_can_read_them(folder, shards, tmp_path):
    for shard in sorted(shards.glob("*.tar")):
        with tarfile.open(shard, "r:") as tar:
            tar.extractall(tmp_path / "out", filter="data")
    originals = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    assert {
        path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    } == originals


@pytest.mark.parametrize("mixing", [False, True])
def test_crops_from_shards_are_those_from_files(folder, shards, mixing):
    assert same_crops(folder, shards, mixing=mixing)
    assert same_crops(folder, shards / "index.jsonl", mixing=mixing)
    assert not same_crops(folder, folder / "stereo.ogg")


def test_without_an_index_the_tars_themselves_are_searched(folder, shards, tmp_path):
    described = load_sources(shards, 0.0)[0].files
    (shards / "index.jsonl").unlink()
    found = load_sources(shards, 0.0)[0].files
    assert [info.part for info in found] == [info.part for info in described]
    assert same_crops(folder, shards)
    [first, *_] = sorted(shards.glob("*.tar"))
    assert [info.part for info in load_sources(first, 0.0)[0].files] == list(audio_members(first))


def test_what_a_manifest_knows_is_kept(folder, tmp_path):
    build_manifest(folder, tmp_path / "m.jsonl", 2, True, 0.0)
    write_shards(tmp_path / "m.jsonl", tmp_path / "packed", 1 << 30, 0.0)
    known = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    packed = [json.loads(line) for line in (tmp_path / "packed/index.jsonl").read_text().splitlines()]
    for field in ("peak", "sha256", "num_bytes", "num_samples"):
        assert [entry[field] for entry in packed] == [entry[field] for entry in known]
    assert same_crops(folder, tmp_path / "packed", mixing=True)


def test_shards_are_the_same_bytes_each_time_and_can_be_packed_again(folder, shards, tmp_path):
    write_shards(folder, tmp_path / "again", 60_000, 0.0)
    write_shards(shards, tmp_path / "repacked", 60_000, 0.0)
    for path in shards.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    names = [info.part.name for info in load_sources(tmp_path / "repacked", 0.0)[0].files]
    assert [name.split("/", 1)[1] for name in names] == [
        info.part.name for info in load_sources(shards, 0.0)[0].files
    ]
    assert same_crops(folder, tmp_path / "repacked")


def test_in_an_object_store(folder, shards):
    fsspec = pytest.importorskip("fsspec")
    for path in shards.iterdir():
        with fsspec.open(f"memory://bucket/shards/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    remote = "memory://bucket/shards/index.jsonl"
    source = load_sources([{"path": remote, "weight": 2}], 0.0)[0]
    assert source.files[0].part.container == "memory://bucket/shards/shard-00000.tar"
    assert same_crops(folder, remote, mixing=True)
    assert same_crops(folder, f"file://{shards}/index.jsonl")
    tar = load_sources("memory://bucket/shards/shard-00001.tar", 0.0)[0].files
    assert [info.part.name for info in tar] == [
        part.name for part in audio_members(shards / "shard-00001.tar")
    ]


def test_validation_clips_from_shards(folder, shards):
    clips = [ClipDataset(load_sources(spec, 0.0), 1.0, 24_000, 1, 0.0) for spec in (folder, shards)]
    assert all(torch.equal(clips[0][i][0], clips[1][i][0]) for i in range(7))
    assert clips[1][0][1] == "shard-00000.tar/0/0"


def test_a_failure_leaves_no_shards_but_what_is_packed(folder, tmp_path):
    (folder / "bad.wav").touch()
    with pytest.raises(ValueError, match=r"bad\.wav"):
        write_shards(folder, tmp_path / "shards", 1 << 20, 0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".shards.part", "set"]
    seen = []
    with pytest.warns(BadAudioWarning, match=r"1 of 8 .*bad\.wav"):
        summary = write_shards(
            folder, tmp_path / "shards", 1 << 20, 0.5, lambda *progress: seen.append(progress)
        )
    assert (summary.num_files, seen) == (7, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "shards"]
    with pytest.raises(ValueError, match="choose another place"):
        write_shards(folder, tmp_path / "shards", 1 << 20, 0.5)
    with pytest.raises(ValueError, match="a byte or more, got 0"):
        write_shards(folder, tmp_path / "more", 0, 0.5)
    assert not (tmp_path / ".more.part").exists()


def test_what_is_no_shard_is_refused(folder, shards, tmp_path):
    (tmp_path / "zipped.tar").write_bytes(gzip.compress((shards / "shard-00000.tar").read_bytes()))
    with pytest.raises(ValueError, match=r"zipped\.tar: not an uncompressed tar"):
        load_sources(tmp_path / "zipped.tar", 0.0)
    with tarfile.open(tmp_path / "texts.tar", "w") as tar:
        tar.add(__file__, "test.py")
    with pytest.raises(ValueError, match="no audio in this tar"):
        load_sources(tmp_path / "texts.tar", 0.0)
    with pytest.raises(ValueError, match=r"in shards .*shard-00000\.tar/0/0\.flac"):
        list_audio(shards)


def test_tars_beside_audio_files_are_left_alone(folder, shards):
    (shards / "shard-00000.tar").rename(folder / "downloaded.tar")
    assert len(load_sources(folder, 0.0)[0].files) == 7


def test_a_damaged_shard_costs_the_files_in_it(shards):
    entry = load_sources(shards, 0.0)[0].files[-1].part
    with open(entry.container, "r+b") as file:
        file.truncate(entry.offset + 100)
    data = crops(shards, CropAugmentations())
    drawn = [data.draw(i) for i in range(60)]
    assert {path for crop in drawn for path, _ in crop.read_errors} == {str(entry)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"path": "a.tar", "member": "x.flac"}', "offset must be .* None"),
        ('{"path": "a.tar", "member": "x.flac", "offset": -1, "num_bytes": 3}', "offset must be .* -1"),
        ('{"path": "a.wav", "sample_rate_hz": 1, "channels": 1, "num_samples": 9}', "sample rate 1 Hz"),
        (
            '{"path": "a.wav", "sample_rate_hz": 8000, "channels": "1", "num_samples": 9}',
            "channels must be .* '1'",
        ),
        ('{"path": "a.wav", "sample_rate_hz": 8000, "channels": 1, "num_samples": 0}', "holds no samples"),
        (
            '{"path": "a.wav", "sample_rate_hz": 8000, "channels": 1, "num_samples": 9, "peak": "x"}',
            "the peak .* 'x'",
        ),
    ],
)
def test_impossible_entries_are_refused(tmp_path, line, words):
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(ValueError, match=f"m.jsonl, line 1: {words}"):
        load_sources(tmp_path / "m.jsonl", 0.0)


def test_a_part_says_where_it_is():
    assert str(FilePart("a/b.tar", "c/d.flac", 0, 1)) == "a/b.tar/c/d.flac"
