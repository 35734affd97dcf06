"""Shards of codes: what was written is read, and nothing else is."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from encodec_lab.data.code_shards import (
    CodedRecording,
    CodeEntry,
    holds_codes,
    read_code_index,
    read_code_shards,
    read_description,
    write_code_shard,
)


def recording(path: str, num_frames: int = 5) -> CodedRecording:
    codes = np.arange(2 * num_frames, dtype=np.int16).reshape(2, num_frames)
    return CodedRecording(
        CodeEntry(path, "small", "ab" * 32, 2, num_frames, 320 * num_frames, None, None), codes
    )


def test_what_is_written_is_read(tmp_path):
    scaled = recording("b/ü.flac", 4)
    scaled = CodedRecording(
        dataclasses.replace(scaled.entry, segment_frames=[3, 1], scales=[0.1, 1.5]), scaled.codes
    )
    write_code_shard(tmp_path, [recording("a.wav"), scaled])
    write_code_shard(tmp_path, [recording("c.wav", 1)])
    found = {one.entry.path: one for one in read_code_shards(tmp_path, 16)}
    for expected in (recording("a.wav"), scaled, recording("c.wav", 1)):
        assert found[expected.entry.path].entry == expected.entry
        np.testing.assert_array_equal(found[expected.entry.path].codes, expected.codes)
    assert len(found) == 3


def test_the_index_is_as_documented(tmp_path):
    write_code_shard(tmp_path, [recording("a.wav")])
    (index,) = tmp_path.glob("*.jsonl")
    (line,) = map(json.loads, index.read_text().splitlines())
    assert line == {
        "path": "a.wav",
        "file": index.with_suffix(".safetensors").name,
        "model": "small",
        "identity": "ab" * 32,
        "num_codebooks": 2,
        "num_frames": 5,
        "num_samples": 1600,
        "segment_frames": None,
        "scales": None,
    }
    assert load_file(tmp_path / line["file"])["a.wav"].shape == (2, 5)


def test_shards_have_the_permissions_of_any_new_file(tmp_path):
    write_code_shard(tmp_path, [recording("a.wav")])
    (tmp_path / "other").touch()
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_a_shard_without_its_index_is_not_there_yet(tmp_path):
    write_code_shard(tmp_path, [recording("a.wav")])
    (index,) = tmp_path.glob("*.jsonl")
    index.unlink()
    assert read_code_index(tmp_path) == {}
    write_code_shard(tmp_path, [recording("a.wav")])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_recording_in_two_shards_is_refused(tmp_path):
    write_code_shard(tmp_path, [recording("a.wav"), recording("b.wav")])
    write_code_shard(tmp_path, [recording("b.wav"), recording("c.wav")])
    with pytest.raises(ValueError, match=r"b\.wav is both in codes-.* and in codes-"):
        read_code_index(tmp_path)


def _cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-3])


def _replace(shard: Path, codes: np.ndarray) -> None:
    save_file({"a.wav": codes}, shard)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "codes-"),
        (lambda shard: save_file({"b.wav": np.zeros((2, 5), np.int16)}, shard), "a.wav"),
        (lambda shard: _replace(shard, np.zeros((2, 4), np.int16)), r"shape \(2, 4\)"),
        (lambda shard: _replace(shard, np.zeros((2, 5), np.int32)), "int32"),
        (lambda shard: _replace(shard, np.full((2, 5), 16, np.int16)), "outside of codebooks of 16"),
        (lambda shard: _replace(shard, np.full((2, 5), -1, np.int16)), "outside of codebooks of 16"),
    ],
)
def test_damage_is_an_error(tmp_path, damage, words):
    write_code_shard(tmp_path, [recording("a.wav")])
    (shard,) = tmp_path.glob("*.safetensors")
    damage(shard)
    with pytest.raises(ValueError, match=words):
        list(read_code_shards(tmp_path, 16))


def test_a_damaged_index_is_an_error(tmp_path):
    write_code_shard(tmp_path, [recording("a.wav")])
    (index,) = tmp_path.glob("*.jsonl")
    index.write_text(index.read_text()[:-10])
    with pytest.raises(ValueError, match="line 1: not a recording's codes"):
        read_code_index(tmp_path)


def test_descriptions(tmp_path):
    assert read_description(tmp_path) is None
    assert not holds_codes(tmp_path)
    for text, holds in (
        ('{"format": "codes", "version": 1}', True),
        ('{"format": "ecdc", "version": 1}', False),
    ):
        (tmp_path / "corpus.json").write_text(text)
        assert holds_codes(tmp_path) == holds
    for text, words in (
        ("{", "not JSON"),
        ("[]", "an object"),
        ('{"format": "codes", "version": 2}', "version 2"),
    ):
        (tmp_path / "corpus.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            holds_codes(tmp_path)
