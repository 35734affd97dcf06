import json

import pytest

from encodec_lab.data.audio_file import BadAudioWarning
from encodec_lab.data.manifest import list_audio, load_sources


@pytest.mark.parametrize("kind", ["csv", "txt", "jsonl"])
def test_manifests_name_files_relative_to_their_folder(write_noise, tmp_path, kind):
    files = [write_noise("audio/two, words.wav", 0.1), write_noise("audio/1.flac", 0.1)]
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    text = {
        "csv": "speaker,path\nx," + "\ny,".join(f'"{name}"' for name in names) + "\n",
        "txt": "\n".join(names) + "\n\n",
        "jsonl": "\n".join(json.dumps({"path": name, "speaker": "x"}) for name in names),
    }[kind]
    manifest = tmp_path / f"manifest.{kind}"
    manifest.write_text(text)
    assert list_audio(manifest) == files
    assert [info.path for info in load_sources(manifest, 0.0)[0].files] == files


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.csv", "file\n1.wav\n", "'path' column"),
        ("m.jsonl", '{"path": "a.wav"}\n{"path"\n', "line 2"),
        ("m.jsonl", '{"file": "a.wav"}\n', "'path'"),
        ("m.csv", "path\n1.wav\n" + "x" * 200_000, "m.csv, line 3: not CSV"),
        ("m.txt", "\n", "names no audio"),
        ("m.yaml", "path: x", "manifest"),
    ],
)
def test_broken_manifests_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        list_audio(tmp_path / name)


def test_missing_and_empty_folders_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        load_sources(tmp_path / "nowhere", 1.0)
    with pytest.raises(ValueError, match="no audio in this folder"):
        load_sources(tmp_path, 1.0)


def test_a_single_path_a_list_and_weights(write_noise, tmp_path):
    short, long = write_noise("a/1.wav", 1.0).parent, write_noise("b/2.wav", 3.0).parent
    assert [source.weight for source in load_sources(str(short), 0.0)] == [1.0]
    assert [source.weight for source in load_sources([str(short), long], 0.0)] == [1.0, 3.0]
    weighted = load_sources([{"path": str(short), "weight": 5}, {"path": long, "weight": 0.5}], 0.0)
    assert [(source.name, source.weight) for source in weighted] == [(str(short), 5.0), (str(long), 0.5)]
    assert load_sources(short / "1.wav", 0.0)[0].duration_s == 1.0
    of_kind = load_sources([{"path": short, "kind": "speech"}, {"path": long, "kind": "music"}], 0.0)
    assert [(source.kind, source.weight) for source in of_kind] == [("speech", 1.0), ("music", 3.0)]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ([], "empty list"),
        (3, "got 3"),
        ([3], "entry 3"),
        ([{"weight": 1}], "entry"),
        ([{"path": "a", "wieght": 1}], "wieght"),
        ([{"path": "a", "weight": -1}], "-1"),
        ([{"path": "a", "weight": 0}], "above 0"),
        ([{"path": "a", "weight": float("nan")}], "nan"),
        ([{"path": "a", "weight": "much"}], "much"),
        ([{"path": "a", "weight": 1}, "b"], "1 of 2"),
        ([{"path": "a", "kind": 3}], "kind .* 3"),
        ([{"path": "a", "kind": "music"}, "b"], "1 of 2 have a kind"),
    ],
)
def test_wrong_lists_are_refused(spec, words):
    with pytest.raises(ValueError, match=words):
        load_sources(spec, 0.0)


def test_bad_files_are_left_out_with_one_warning_that_names_them(write_noise, tmp_path):
    good = [write_noise(f"set/{i}.wav", 0.2) for i in range(4)]
    (tmp_path / "set/empty.wav").touch()
    (tmp_path / "set/text.flac").write_text("no")
    with pytest.warns(BadAudioWarning) as caught:
        sources = load_sources(tmp_path / "set", 0.5)
    assert [info.path for info in sources[0].files] == good
    assert len(caught) == 1
    assert "empty.wav" in str(caught[0].message)
    assert "text.flac" in str(caught[0].message)
    assert "2 of 6" in str(caught[0].message)


def test_too_many_bad_files_are_an_error(write_noise, tmp_path):
    write_noise("set/1.wav", 0.2)
    (tmp_path / "set/bad.wav").touch()
    with pytest.raises(ValueError, match=r"1 of 2 .*0\.4.*bad\.wav"):
        load_sources(tmp_path / "set", 0.4)
    (tmp_path / "set/1.wav").unlink()
    with pytest.raises(ValueError, match="none of its 1"):
        load_sources(tmp_path / "set", 1.0)
