"""Rows kept in a file survive what happens to the process that writes them."""

import dataclasses
import json
from pathlib import Path

import pytest

from encodec_lab.evaluation.evaluation_rows import EvaluationRow
from encodec_lab.evaluation.row_store import RowStore, read_jsonl, write_jsonl

ROW = EvaluationRow("opus", "ä.wav", "speech", 6.0, 6.25, 1.5, 24_000, {"a": 0.1}, {"b": "silence"}, "1.3")


def test_what_is_added_is_there_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    store = RowStore(path)
    assert store.missing("key", ["a", "b"]) == ("a", "b")
    store.add("key", ROW)
    for one in (store, RowStore(path)):
        assert one["key"] == ROW
        assert one.missing("key", ["a", "b", "c"]) == ("c",)
        assert one.missing("other", ["a"]) == ("a",)


def test_names_of_files_need_not_be_utf8(tmp_path: Path) -> None:
    row = dataclasses.replace(ROW, file="\udcff.wav")
    RowStore(tmp_path / "scores.jsonl").add("key", row)
    assert RowStore(tmp_path / "scores.jsonl")["key"] == row
    write_jsonl(tmp_path / "rows.jsonl", [row])
    assert read_jsonl(tmp_path / "rows.jsonl") == [row]


def test_rows_of_one_key_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    RowStore(path).add("key", ROW)
    RowStore(path).add("key", dataclasses.replace(ROW, scores={"c": 2.0}, not_scored={}))
    assert RowStore(path)["key"] == dataclasses.replace(ROW, scores={"a": 0.1, "c": 2.0})


@pytest.mark.parametrize("num_lost", [1, 2, 50, 100])
def test_a_cut_line_is_as_if_not_written_and_does_not_harm_the_next(tmp_path: Path, num_lost: int) -> None:
    path = tmp_path / "scores.jsonl"
    store = RowStore(path)
    store.add("first", ROW)
    store.add("second", ROW)
    path.write_bytes(path.read_bytes()[:-num_lost])
    again = RowStore(path)
    # Without its line break a line is whole all the same.
    assert again.missing("second", ["a"]) == (() if num_lost == 1 else ("a",))
    again.add("third", ROW)
    last = RowStore(path)
    assert (last["first"], last["third"]) == (ROW, ROW)
    assert last.missing("second", ["a"]) == (() if num_lost == 1 else ("a",))


def test_lines_of_another_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    other = json.dumps({"key": "other", "system": "opus"})
    path.write_text(f"{other}\n[1]\n\n3\n")
    store = RowStore(path)
    assert store.missing("other", ["a"]) == ("a",)
    store.add("key", ROW)
    assert RowStore(path)["key"] == ROW


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = RowStore(None)
    store.add("key", ROW)
    assert store["key"] == ROW
    assert list(tmp_path.iterdir()) == []


def test_rows_as_jsonl_and_back(tmp_path: Path) -> None:
    rows = [ROW, dataclasses.replace(ROW, bandwidth_kbps=None, true_kbps=None)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert read_jsonl(tmp_path / "rows.jsonl") == rows
    (tmp_path / "rows.jsonl").write_text('{"system": 1}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 1: not a row"):
        read_jsonl(tmp_path / "rows.jsonl")
