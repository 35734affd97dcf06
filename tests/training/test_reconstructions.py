import lightning
import pytest
import soundfile
import torch
from matplotlib.image import imread
from small_training import codec_training, fit

from encodec_lab.training.reconstructions import ReconstructionSamples, spectrogram_figure
from encodec_lab.training.validation import ValidationClip

RATE_HZ = 24_000


def tone_clip(name: str = "clip", num_samples: int = 6_000, channels: int = 1) -> ValidationClip:
    """A full-scale tone of 3 kHz, and one of 6 kHz that goes beyond full scale as its reconstruction."""
    time_s = torch.arange(num_samples) / RATE_HZ
    original = torch.sin(2 * torch.pi * 3_000 * time_s).expand(channels, -1)
    louder = 1.5 * torch.sin(2 * torch.pi * 6_000 * time_s).expand(channels, -1)
    return ValidationClip(name, RATE_HZ, original, {6.0: louder, 1.5: louder})


class Stopped:
    """As much of a trainer as the callback looks at."""

    is_global_zero = True
    global_step = 40
    loggers = ()


def write(folder, clip, trainer=Stopped, batch_idx=0, num_clips=2):
    callback = ReconstructionSamples(folder, num_clips)
    callback.on_validation_batch_end(trainer(), None, clip, None, batch_idx)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("channels", [1, 2])
def test_files_of_a_clip(tmp_path, channels):
    assert write(tmp_path, tone_clip(channels=channels)) == [
        "clip/original.wav",
        "clip/step_000040.png",
        "clip/step_000040_1.5kbps.wav",
        "clip/step_000040_6kbps.wav",
    ]
    wav, rate_hz = soundfile.read(tmp_path / "clip/original.wav", always_2d=True)
    assert rate_hz == RATE_HZ
    assert torch.allclose(torch.from_numpy(wav.T).float(), tone_clip(channels=channels).original, atol=1e-3)
    wav, _ = soundfile.read(tmp_path / "clip/step_000040_6kbps.wav", always_2d=True)
    assert wav.shape == (6_000, channels)
    assert abs(wav).max() > 0.99
    assert imread(tmp_path / "clip/step_000040.png").std() > 0.05


def test_clips_of_one_name_in_different_folders_stay_apart(tmp_path):
    for name in ("speech/one", "music/one", "music/one.two", "music/one.three"):
        files = write(tmp_path, tone_clip(name))
    folders = {file.rpartition("/")[0] for file in files}
    assert folders == {"speech/one", "music/one", "music/one.two", "music/one.three"}


def test_only_the_first_clips_of_the_first_rank(tmp_path):
    class SecondRank(Stopped):
        is_global_zero = False

    assert write(tmp_path, tone_clip(), batch_idx=2) == []
    assert write(tmp_path, tone_clip(), trainer=SecondRank) == []
    assert write(tmp_path, None) == []  # before the start of codebooks
    assert len(write(tmp_path, tone_clip(), batch_idx=1)) == 4


def test_a_run_writes_samples_at_every_validation(tmp_path):
    trainer, _ = fit(codec_training(), 4, validate_every=2, callbacks=[ReconstructionSamples(tmp_path, 1)])
    assert isinstance(trainer, lightning.Trainer)
    assert {path.name for path in tmp_path.iterdir()} == {"clip0"}
    assert {path.name for path in (tmp_path / "clip0").glob("*.png")} == {
        "step_000002.png",
        "step_000004.png",
    }


@pytest.mark.parametrize("num_samples", [1, 500, 24_000])
def test_spectrogram_shows_the_tones_where_they_are(num_samples):
    figure = spectrogram_figure(tone_clip(num_samples=num_samples))
    assert [panel.get_ylabel().split("\n")[0] for panel in figure.axes] == ["original", "1.5 kbps", "6 kbps"]
    if num_samples < 1024:
        return
    for panel, frequency_khz in zip(figure.axes, (3, 6, 6), strict=True):
        [image] = panel.get_images()
        level_db = image.get_array()  # [F, S], the first row at the bottom
        peak = level_db.mean(1).argmax()
        _, _, bottom_khz, top_khz = image.get_extent()
        assert bottom_khz + (top_khz - bottom_khz) * peak / (len(level_db) - 1) == pytest.approx(
            frequency_khz, abs=0.03
        )
    original = figure.axes[0].get_images()[0].get_array()
    assert original.max() == pytest.approx(0.0, abs=0.1), "a full-scale tone is at 0 dB"
