import lightning
import pytest
import soundfile
import torch
from small_training import codec_training, fit

from encodec_lab.evaluation.spectrogram_image import mel_spectrogram_db, spectrogram_png
from encodec_lab.training.reconstructions import ReconstructionSamples
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
        "clip/original.png",
        "clip/original.wav",
        "clip/step_000040_1.5kbps.png",
        "clip/step_000040_1.5kbps.wav",
        "clip/step_000040_6kbps.png",
        "clip/step_000040_6kbps.wav",
    ]
    wav, rate_hz = soundfile.read(tmp_path / "clip/original.wav", always_2d=True)
    assert rate_hz == RATE_HZ
    assert torch.allclose(torch.from_numpy(wav.T).float(), tone_clip(channels=channels).original, atol=1e-3)
    wav, _ = soundfile.read(tmp_path / "clip/step_000040_6kbps.wav", always_2d=True)
    assert wav.shape == (6_000, channels)
    assert abs(wav).max() > 0.99


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
    assert len(write(tmp_path, tone_clip(), batch_idx=1)) == 6


def test_a_run_writes_samples_at_every_validation(tmp_path):
    trainer, _ = fit(codec_training(), 4, validate_every=2, callbacks=[ReconstructionSamples(tmp_path, 1)])
    assert isinstance(trainer, lightning.Trainer)
    assert {path.name for path in tmp_path.iterdir()} == {"clip0"}
    assert {path.name for path in (tmp_path / "clip0").glob("*.png")} == {
        "original.png",
        *(f"step_{step}_{kbps}kbps.png" for step in ("000002", "000004") for kbps in (12, 24, 36)),
    }


def test_pictures_are_spectrograms_on_the_scale_of_the_original(tmp_path):
    write(tmp_path, tone_clip())
    original, louder = (tone_clip().original, tone_clip().reconstructions[6.0])
    top_db = mel_spectrogram_db(original, RATE_HZ).max()
    for name, wav in (("original", original), ("step_000040_6kbps", louder)):
        picture = (tmp_path / f"clip/{name}.png").read_bytes()
        assert picture == spectrogram_png(mel_spectrogram_db(wav, RATE_HZ), top_db)
