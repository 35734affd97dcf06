import os
import pickle
from pathlib import Path

import pytest

from encodec_lab.data.audio_file import AudioInfo
from encodec_lab.data.audio_table import AudioTable
from encodec_lab.data.file_part import FilePart

PART = FilePart("s3://bucket/shard.tar", "a/1.flac", 512, 1_000)
INFOS = [
    AudioInfo(Path("/a/1.wav"), 24_000, 1, 48_000),
    AudioInfo(Path("zwölf.flac"), 44_100, 2, 1 << 39, peak=0.1),
    AudioInfo(Path(os.fsdecode(b"not-utf8-\xff.wav")), 8_000, 1, 1, peak=0.0),
    AudioInfo(Path(str(PART)), 48_000, 2, 480, peak=1.5, part=PART),
    AudioInfo(Path("s3:/b/x.flac"), 48_000, 2, 24, part=FilePart("s3://b/x.flac", "", 0, None)),
]


def test_it_gives_back_what_it_was_given():
    table = AudioTable(iter(INFOS))
    assert list(table) == INFOS == [table[i] for i in range(5)]
    assert table[-1] == INFOS[-1] and table[1:4] == INFOS[1:4] and table[::-2] == INFOS[::-2]
    assert table.durations_s.tolist() == [info.duration_s for info in INFOS]
    assert list(pickle.loads(pickle.dumps(table))) == INFOS
    assert len(AudioTable([])) == 0 and list(AudioTable([])) == []
    with pytest.raises(IndexError):
        table[5]


def test_it_takes_little_memory():
    infos = [AudioInfo(Path(f"speaker/{i:07d}.flac"), 24_000, 1, 48_000 + i, 0.5) for i in range(2_000)]
    per_entry = (len(pickle.dumps(AudioTable(infos))) - len(pickle.dumps(AudioTable([])))) / 2_000
    assert per_entry < 100
