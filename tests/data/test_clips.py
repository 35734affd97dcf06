import pytest
import torch

from encodec_lab.data.audio_file import BadAudioWarning, read_whole
from encodec_lab.data.clips import ClipDataset, ClipLoader
from encodec_lab.data.convert import convert_audio
from encodec_lab.data.manifest import load_sources


def test_clips_are_cut_converted_and_named(write_noise, tmp_path):
    write_noise("valid/speech/a.flac", 2.0)
    path = write_noise("valid/music/b.ogg", 0.5, 44_100, 2)
    clips = ClipDataset(load_sources(tmp_path / "valid", 0.0), 1.5, 24_000, 1, 0.0)
    assert len(clips) == 2
    (music, music_name), (speech, speech_name) = clips[0], clips[1]
    assert (music_name, speech_name) == ("music/b", "speech/a")
    assert speech.shape == (1, 36_000)
    torch.testing.assert_close(music, convert_audio(*read_whole(path), 24_000, 1))


def test_clips_that_differ_in_their_suffix_alone_keep_it(write_noise, tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        write_noise(f"valid/{name}", 0.1)
    clips = ClipDataset(load_sources(tmp_path / "valid", 0.0), 1.0, 24_000, 1, 0.0)
    assert [clips[index][1] for index in range(3)] == ["a.flac", "a.wav", "b"]


def test_bad_clips_are_found_at_the_start(write_noise, write_nan, tmp_path):
    write_noise("valid/a.wav")
    write_nan("valid/b.wav")
    sources = load_sources(tmp_path / "valid", 0.0)
    with pytest.warns(BadAudioWarning, match=r"b\.wav"):
        clips = ClipDataset(sources, 1.0, 24_000, 1, 0.5)
    assert [name for _, name in map(clips.__getitem__, range(len(clips)))] == ["a"]
    with pytest.raises(ValueError, match=r"b\.wav"):
        ClipDataset(sources, 1.0, 24_000, 1, 0.4)


def test_ranks_share_the_clips(write_noise, tmp_path):
    for i in range(5):
        write_noise(f"valid/{i}.wav", 0.1)
    clips = ClipDataset(load_sources(tmp_path / "valid", 0.0), 1.0, 24_000, 2, 0.0)
    names = [[names for _, names in ClipLoader(clips, rank, 2)] for rank in (0, 1)]
    assert names == [[["0"], ["2"], ["4"]], [["1"], ["3"]]]
    assert [len(ClipLoader(clips, rank, 2)) for rank in (0, 1)] == [3, 2]
    assert next(iter(ClipLoader(clips, 0, 1)))[0].shape == (1, 2, 2_400)
    with pytest.raises(ValueError, match="5 validation clips .* 6 ranks"):
        ClipLoader(clips, 0, 6)
