"""`recipes/make_manifest.py` and `recipes/make_shards.py`, as a user types them."""

import json

import pytest


def test_from_real_clips_to_a_manifest_and_shards(run_recipe, carried_audio, tmp_path, capsys):
    assert run_recipe("make_manifest", f"data={carried_audio / 'valid'}", "output=m.jsonl", "workers=2") == 0
    assert "m.jsonl: 5 files, 0.01 h" in capsys.readouterr().out
    assert run_recipe("make_shards", "data=m.jsonl", "output=shards", "shard_mib=0.5") == 0
    num_shards = len(list((tmp_path / "shards").glob("*.tar")))
    assert f"shards: {num_shards} shards, 5 files, 0.01 h" in capsys.readouterr().out
    assert num_shards > 1
    known, packed = (
        [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("m.jsonl", "shards/index.jsonl")
    )
    for field in ("sha256", "peak", "duration_s"):
        assert [entry[field] for entry in packed] == [entry[field] for entry in known]
    assert {path.name for path in tmp_path.iterdir()} == {"m.jsonl", "shards"}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("make_manifest", ["output=m.jsonl"], "data"),
        ("make_manifest", ["data=nowhere", "output=m.jsonl"], "nowhere"),
        ("make_shards", ["data=nowhere", "output=shards"], "nowhere"),
        ("make_shards", ["data=.", "output=shards"], "no audio"),
    ],
)
def test_a_mistake_is_one_line(run_recipe, capsys, name, arguments, words):
    assert run_recipe(name, *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert words in said
