import dataclasses
import os

import numpy as np
import pytest
import soundfile
import torch
from small_codec import SMALL_48KHZ, random_codec
from small_lm_run import export_codec

from encodec_lab.data.audio_file import AudioFileError
from encodec_lab.data.converted_audio import read_converted
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.shard_building import write_shards
from encodec_lab.training import code_cache
from encodec_lab.training.code_cache import (
    cached_file,
    codes_folder,
    extract_missing,
    read_codes,
    recording_codes,
)


@pytest.fixture
def codec(tmp_path):
    return export_codec(tmp_path / "codec")


@pytest.fixture
def recordings(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(2_000).clip(-3, 3), 24_000)
    return paths


def extract(recordings, codec, tmp_path, num_workers=1):
    """The results, and the folder."""
    folder = codes_folder(tmp_path / "cache", codec)
    return list(extract_missing(recordings, codec, str(tmp_path / "codec"), folder, num_workers)), folder


def test_codes_are_those_of_the_highest_bandwidth(codec, recordings, tmp_path):
    codec.set_target_bandwidth(12)
    _, folder = extract(recordings, codec, tmp_path)
    assert codec.bandwidth == 12
    codec.set_target_bandwidth(48)
    for path in recordings:
        (frame,) = codec.encode(read_converted(path, 24_000, 1)[None])
        codes = read_codes(folder, path)
        assert codes.dtype == np.int16
        np.testing.assert_array_equal(codes, frame.codes[0].numpy())


def test_segments_are_joined(tmp_path):
    codec = random_codec(SMALL_48KHZ)
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal((110_000, 2)), 48_000)
    with torch.no_grad():
        frames = codec.encode(read_converted(tmp_path / "a.wav", 48_000, 2)[None])
    assert len(frames) == 3
    expected = torch.cat([frame.codes[0] for frame in frames], dim=-1).numpy()
    np.testing.assert_array_equal(recording_codes(codec, tmp_path / "a.wav"), expected)


def test_each_recording_is_extracted_once(codec, recordings, tmp_path):
    assert [path for path, _ in extract(recordings, codec, tmp_path)[0]] == recordings
    assert extract(recordings, codec, tmp_path)[0] == []


def test_an_interrupted_extraction_goes_on(codec, recordings, tmp_path, monkeypatch):
    whole = np.save

    def stop_while_writing(file, codes):
        if len(list((tmp_path / "cache").rglob("*.npy"))) == 1:
            file.write(b"half of it")
            raise KeyboardInterrupt
        whole(file, codes)

    monkeypatch.setattr(code_cache.np, "save", stop_while_writing)
    with pytest.raises(KeyboardInterrupt):
        extract(recordings, codec, tmp_path)
    monkeypatch.undo()
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == 1
    results, folder = extract(recordings, codec, tmp_path)
    assert [path for path, _ in results] == recordings[1:]
    assert all(read_codes(folder, path).shape == (4, 250) for path in recordings)


def test_a_changed_recording_is_extracted_again(codec, recordings, tmp_path):
    _, folder = extract(recordings, codec, tmp_path)
    soundfile.write(recordings[0], 0.1 * np.ones(800), 24_000)
    status = recordings[1].stat()
    os.utime(recordings[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert [path for path, _ in extract(recordings, codec, tmp_path)[0]] == recordings[:2]
    assert read_codes(folder, recordings[0]).shape == (4, 100)


def test_another_codec_has_codes_of_its_own(codec, recordings, tmp_path):
    _, folder = extract(recordings, codec, tmp_path)
    codec.name = "renamed"
    assert codes_folder(tmp_path / "cache", codec) == folder
    with torch.no_grad():
        codec.quantizer.codebooks[0].embed[0, 0] += 1e-6
    results, other = extract(recordings, codec, tmp_path)
    assert len(results) == 3
    assert other != folder
    assert cached_file(other, recordings[0]).name == cached_file(folder, recordings[0]).name


def test_a_bad_recording_is_named(codec, recordings, tmp_path):
    recordings[1].write_bytes(b"no audio")
    results, _ = extract(recordings, codec, tmp_path)
    assert [type(error) for _, error in results] == [type(None), AudioFileError, type(None)]


@pytest.mark.slow
def test_workers_extract_the_same(codec, recordings, tmp_path):
    _, folder = extract(recordings, codec, tmp_path, num_workers=2)
    for path in recordings:
        np.testing.assert_array_equal(read_codes(folder, path), recording_codes(codec, path))


def test_recordings_in_shards(codec, recordings, tmp_path):
    write_shards(tmp_path / "a.wav", tmp_path / "shards", 1 << 20, 0.0)
    [info] = load_sources(tmp_path / "shards", 0.0)[0].files
    for _ in range(2):
        results, folder = extract([info.source, recordings[0]], codec, tmp_path)
        np.testing.assert_array_equal(read_codes(folder, info.source), read_codes(folder, recordings[0]))
    assert results == []
    moved = dataclasses.replace(info.source, offset=info.source.offset + 1)
    assert cached_file(folder, moved) != cached_file(folder, info.source)
