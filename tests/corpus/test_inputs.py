"""What a corpus consists of, and how jobs share it."""

from pathlib import Path

import pytest
from small_corpus import write_recordings

from encodec_lab.corpus.inputs import ArraySlot, array_slot, list_inputs
from encodec_lab.data.shard_building import write_shards


def names(location: str | Path) -> list[str]:
    return [item.name for item in list_inputs(location)]


def test_names_are_paths_below_what_was_named(tmp_path, monkeypatch):
    write_recordings(tmp_path / "audio", ["x/a.wav", "x/a.flac", "x/y/b.wav"])
    (tmp_path / "audio/list.txt").write_text("x/y/b.wav\nx/a.wav\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/list.txt").write_text("../audio/x/a.wav\n../audio/x/y/b.wav\n")
    monkeypatch.chdir(tmp_path)
    assert names("audio") == ["x/a.flac", "x/a.wav", "x/y/b.wav"]
    assert names(tmp_path / "audio/x") == ["a.flac", "a.wav", "y/b.wav"]
    assert names("audio/list.txt") == ["x/y/b.wav", "x/a.wav"]
    assert names("elsewhere/list.txt") == ["a.wav", "y/b.wav"]
    assert names("audio/x/a.wav") == ["a.wav"]
    assert all(item.source.is_absolute() for item in list_inputs("audio"))


def test_names_in_shards(tmp_path):
    write_recordings(tmp_path / "audio", ["x/a.wav", "y/a.wav"])
    write_shards(tmp_path / "audio", tmp_path / "tars", 1, 0.0)
    expected = ["shard-00000.tar/x/a.wav", "shard-00001.tar/y/a.wav"]
    assert names(tmp_path / "tars") == names(tmp_path / "tars/index.jsonl") == expected
    assert names(tmp_path / "tars/shard-00000.tar") == expected[:1]


def test_a_recording_that_is_listed_twice_is_refused(tmp_path):
    write_recordings(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "list.txt").write_text("a.wav\nb.wav\n./a.wav\n")
    with pytest.raises(ValueError, match=r"list\.txt: lists a\.wav twice"):
        list_inputs(tmp_path / "list.txt")


def test_slots_share_all_inputs_without_overlap(tmp_path):
    write_recordings(tmp_path, [f"{number}.wav" for number in range(7)], num_samples=10)
    inputs = list_inputs(tmp_path)
    shares = [ArraySlot(index, 3).share(inputs) for index in range(3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert {item.name for share in shares for item in share} == {item.name for item in inputs}


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ((None, None), {}, ArraySlot(0, 1)),
        ((2, 5), {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3"}, ArraySlot(2, 5)),
        ((None, None), {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3"}, ArraySlot(1, 3)),
        (
            (None, None),
            {"SLURM_ARRAY_TASK_ID": "8", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "1"},
            ArraySlot(7, 8),
        ),
        (
            (None, None),
            {
                "SLURM_ARRAY_TASK_ID": "14",
                "SLURM_ARRAY_TASK_COUNT": "8",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            ArraySlot(7, 8),
        ),
    ],
)
def test_the_slot_is_the_given_one_or_slurms(given, environment, expected):
    assert array_slot(*given, environment) == expected


@pytest.mark.parametrize("given", [(1, None), (None, 2), (2, 2), (-1, 2), (0, 0)])
def test_impossible_slots(given):
    with pytest.raises(ValueError, match="array_index"):
        array_slot(*given, {})
