"""Which workers a corpus gets."""

import sys

import pytest
from small_corpus import encode, export_small_codec, write_recordings

from encodec_lab.corpus.workers import task_runner


def test_ray_is_named_where_it_is_missing(tmp_path, monkeypatch):
    write_recordings(tmp_path / "audio", ["a.wav"])
    export_small_codec(tmp_path / "codec")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"need ray; pip install 'encodec-lab\[ray\]'"):
        encode(tmp_path, "codes", backend="ray", workers=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mpi", 2, None, "cpu"), "backend=mpi: use one of local, ray"),
        (("local", 2, "auto", "cpu"), "ray_address=auto: is for backend=ray"),
        (("local", -1, None, "cpu"), "workers=-1: backend=local takes 0 or more"),
        (("ray", 0, None, "cpu"), "workers=0: backend=ray takes 1 or more"),
    ],
)
def test_impossible_workers(arguments, words):
    with pytest.raises(ValueError, match=words):
        task_runner(*arguments)
