"""The clips that the package carries: little, free, credited, and apart by split."""

import re
from pathlib import Path

import pytest
import soundfile

SPLITS = ("train", "valid", "test")


def _clips(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".ogg"))


def test_size(carried_audio: Path) -> None:
    assert 3e6 < sum(path.stat().st_size for path in _clips(carried_audio)) < 8e6


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_speech_at_24_khz_and_stereo_music_at_48_khz(carried_audio: Path, split: str) -> None:
    for domain, rate_hz, channels in (("speech", 24_000, 1), ("music", 48_000, 2)):
        clips = _clips(carried_audio / split / domain)
        assert len(clips) >= 2
        for clip in clips:
            info = soundfile.info(clip)
            assert (info.samplerate, info.channels) == (rate_hz, channels)
            assert 5 <= info.duration <= 20


def test_every_clip_is_credited_under_a_free_licence_and_nothing_else_is(carried_audio: Path) -> None:
    lines = re.findall(r"^\| `(.*)", (carried_audio / "CREDITS.md").read_text(encoding="utf-8"), re.MULTILINE)
    licences = {line.split("`")[0]: line.split(" | ")[3] for line in lines}
    assert set(licences) == {str(path.relative_to(carried_audio)) for path in _clips(carried_audio)}
    for licence in licences.values():
        assert re.match(r"(\[CC0 1\.0\]|\[CC BY [34]\.0\]|public domain)", licence)


def test_no_speaker_and_no_recording_is_in_two_splits(carried_audio: Path) -> None:
    """A file is named LANGUAGE_SPEAKER_…_NUMBER or SOURCE_TITLE_NUMBER."""
    seen = [{path.stem.rsplit("_", 1)[0] for path in _clips(carried_audio / split)} for split in SPLITS]
    for index, names in enumerate(seen):
        for others in seen[index + 1 :]:
            assert not names & others
