"""`recipes/hear_augmentations.py`, and that the sounds in `notebooks/augmentations` are what training hears."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def sample(repository: Path) -> Path:
    return repository / "notebooks/augmentations"


def linked_files(folder: Path) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_committed_sounds_are_what_training_hears(run_recipe, sample, tmp_path):
    (command,) = re.findall(r"^python recipes/(.*)$", (sample / "CREDITS.md").read_text(), re.MULTILINE)
    program, *arguments = command.split()
    arguments[-1] = "output=made"
    assert run_recipe(Path(program).stem, *arguments) == 0
    made = tmp_path / "made"
    assert (sample / "README.md").read_bytes() == (made / "README.md").read_bytes()
    names = {path.name for path in sample.glob("*.ogg")}
    assert names == {path.name for path in made.glob("*.ogg")} == set(linked_files(sample))
    for name in names:
        kept, rate_hz = soundfile.read(sample / name)
        again, again_rate_hz = soundfile.read(made / name)
        assert (rate_hz, kept.shape) == (again_rate_hz, again.shape)
        # The same encoder gives the same samples; another release of it, or rounding on its way in, others by a little.
        assert np.square(kept - again).sum() < 1e-3 * np.square(again).sum(), name
    page = (made / "report.html").read_text(encoding="utf-8")
    assert "RT60 1.04 s" in page and 'id="blind"' not in page


def test_all_clips_that_the_committed_sounds_are_made_of_are_under_cc0(sample, carried_audio):
    credits = (carried_audio / "CREDITS.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\[(\S+) from [\d.]+ s\]", (sample / "README.md").read_text(encoding="utf-8")))
    assert len(used) > 3
    for clip in used:
        (row,) = (line for line in credits.splitlines() if f"/{clip}`" in line)
        assert "[CC0 1.0]" in row, clip


def test_the_committed_sounds_are_small(sample):
    assert sum(path.stat().st_size for path in sample.iterdir()) < 400_000


@pytest.mark.parametrize(
    ("argument", "words"), [("format=mp4", "flac or ogg, got 'mp4'"), ("data.train=nowhere", "nowhere")]
)
def test_a_mistake_is_one_line(run_recipe, capsys, argument, words):
    assert run_recipe("hear_augmentations", "num_crops=0", "data.crop_s=0.1", argument) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert words in said
