"""What is shown of augmentations is what was drawn and what came of it."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from encodec_lab.data.augmentation import Chain
from encodec_lab.data.crops import CropAugmentations, CropDataset
from encodec_lab.data.equalizer import RandomEqualizer
from encodec_lab.data.gain import RandomGain
from encodec_lab.data.manifest import load_sources
from encodec_lab.data.mixing import Mixing, Strategy
from encodec_lab.data.reverb import RandomReverb
from encodec_lab.data.speed import RandomSpeed
from encodec_lab.evaluation.augmentation_page import HeardCrop, hear_augmentations, write_augmentation_page

RATE_HZ = 16_000
SPEED = RandomSpeed(0.0, [0.5, 0.5])
EQUALIZER = RandomEqualizer(0.0, [6.0, 6.0], 4, 100.0, RATE_HZ)
REVERB = RandomReverb(0.5, [0.4, 0.4], [3.0, 3.0], RATE_HZ)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of noise, which holds still under no cut."""
    rng = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for number in range(4):
        noise = 0.05 * rng.standard_normal(3 * RATE_HZ).clip(-3, 3)
        soundfile.write(tmp_path / f"set/{number}.wav", noise, RATE_HZ, subtype="FLOAT")
    return tmp_path / "set"


def crops(folder: Path, augmentations: CropAugmentations) -> CropDataset:
    return CropDataset(load_sources(folder, 0.0), RATE_HZ, RATE_HZ, 1, 5, -60.0, 8, augmentations)


def by_name(heard: list[HeardCrop]) -> dict[str, HeardCrop]:
    return {one.name: one for one in heard}


def in_file(folder: Path, origin: str) -> tuple[torch.Tensor, int]:
    """All of the file that is told of, [1, T], and the sample that the crop starts at."""
    name, start_s = re.fullmatch(r"(\S+) from ([\d.]+) s", origin).groups()
    samples, _ = soundfile.read(folder / name, dtype="float32")
    return torch.from_numpy(samples)[None], round(float(start_s) * RATE_HZ)


def level_db(wav: torch.Tensor) -> float:
    return float(10 * wav.square().mean().log10())


def test_each_augmentation_by_itself(folder):
    heard = by_name(
        hear_augmentations(
            crops(folder, CropAugmentations(SPEED, Chain([EQUALIZER, RandomGain(-10, 6)]), None, REVERB)), 0
        )
    )
    assert list(heard) == ["speed", "equalizer", "gain", "reverb"]
    assert [one.setting for one in heard.values()] == [
        "off as configured",
        "off as configured",
        "always",
        "probability 0.5",
    ]
    for one in heard.values():
        (origin,), (original,) = one.origins, one.originals
        samples, start = in_file(folder, origin)
        # Told to 10 ms.
        places = samples.unfold(1, RATE_HZ, 1)[0, max(0, start - 80) : start + 81]
        assert (places - original).square().sum(dim=1).min() < 1e-9
    gain_db = float(heard["gain"].drawn.removeprefix("gain ").removesuffix(" dB").replace("−", "-"))
    assert level_db(heard["gain"].wav) - level_db(heard["gain"].originals[0]) == pytest.approx(
        gain_db, abs=0.06
    )
    assert heard["equalizer"].drawn == "bands 6.0, 6.0, 6.0, 6.0 dB"
    torch.testing.assert_close(
        heard["equalizer"].wav, heard["equalizer"].originals[0] * 10**0.3, rtol=1e-3, atol=1e-4
    )
    assert heard["reverb"].drawn == "RT60 0.40 s, direct to reverberant 3.0 dB"
    assert not torch.allclose(heard["reverb"].wav, heard["reverb"].originals[0], atol=1e-3)
    assert heard["speed"].drawn == "speed 0.5"
    # At half the speed every other sample is one of the file's, but for what the filter takes off at the top; the first
    # may lie between two of them.
    original = heard["speed"].originals[0][0, 500:4_500]
    alike = [
        float(torch.corrcoef(torch.stack([heard["speed"].wav[0, at : at + 8_000 : 2], original]))[0, 1])
        for at in (999, 1_000, 1_001)
    ]
    assert max(alike) > 0.95


def test_strategies_one_by_one_and_the_whole_as_training_has_it(folder):
    strategies = {
        "one": Strategy(0.25, 1, None, (), reverb=False),
        "two": Strategy(0.75, 2, None, (), reverb=True),
        "never": Strategy(0.0, 3, None, (), reverb=True),
    }
    data = crops(folder, CropAugmentations(mixing=Mixing(strategies, [-9.0, -9.0], 4), crop=REVERB))
    heard = by_name(hear_augmentations(data, 12))
    assert list(heard)[:3] == ["strategy one", "strategy two", "reverb"]
    two = heard["strategy two"]
    assert two.setting == "probability 0.75"
    assert two.drawn == "two: peak of the file to 0 dB, then −9.0, −9.0 dB"
    expected = sum(
        original / in_file(folder, origin)[0].abs().max() * 10 ** (-9 / 20)
        for original, origin in zip(two.originals, two.origins, strict=True)
    )
    torch.testing.assert_close(two.wav, expected, rtol=1e-4, atol=1e-5)
    told = []
    for index in range(12):
        one = heard[f"crop {index}"]
        torch.testing.assert_close(one.wav, data.draw(index).wav, rtol=0, atol=0)
        told.append((one.drawn.split(":")[0], len(one.originals), "RT60" in one.drawn))
    assert set(told) == {("one", 1, False), ("two", 2, False), ("two", 2, True)}


def test_files_and_page(folder, tmp_path):
    heard = hear_augmentations(crops(folder, CropAugmentations(crop=REVERB)), 1)
    write_augmentation_page(tmp_path / "out", heard, RATE_HZ, "flac")
    table = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    files = re.findall(r"\]\(([^)]+)\)", table)
    # Both crops are of one place, which is written once.
    assert len(files) == 4 and files[0] == files[2]
    assert {*files, "README.md", "report.html"} == {path.name for path in (tmp_path / "out").iterdir()}
    samples, rate_hz = soundfile.read(tmp_path / "out" / files[1])
    assert rate_hz == RATE_HZ
    assert np.abs(samples - heard[0].wav[0].numpy()).max() < 1e-4
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for words in ("RT60 0.40 s", heard[0].origins[0], "probability 0.5", "encodec-lab augmentation"):
        assert words in page
    assert "SI-SNR" not in page.split("<main>")[1].split("</main>")[0]
    assert 'id="blind"' not in page
    with pytest.raises(ValueError, match="flac or ogg, got 'wav'"):
        write_augmentation_page(tmp_path / "out", heard, RATE_HZ, "wav")
    with pytest.raises(ValueError, match="nothing to hear"):
        write_augmentation_page(tmp_path / "out", [], RATE_HZ, "flac")


def test_originals_end_where_their_files_do(folder):
    """A crop at half the speed may lie so near the end that there is less to hear at the file's own."""
    data = crops(folder, CropAugmentations(SPEED))
    slow = data.with_augmentations(CropAugmentations(dataclasses.replace(SPEED, probability=1.0)))
    assert max(slow.draw(index).origins[0].start_s for index in range(40)) > 2.1
    for seed_index in range(40):
        data_of_one = CropDataset(
            load_sources(folder, 0.0), RATE_HZ, RATE_HZ, 1, seed_index, None, 0, CropAugmentations(SPEED)
        )
        (heard,) = hear_augmentations(data_of_one, 0)
        assert heard.originals[0].shape == heard.wav.shape == (1, RATE_HZ)


def test_the_page_plays_in_a_browser(folder, tmp_path, browser):
    heard = hear_augmentations(crops(folder, CropAugmentations(crop=REVERB)), 1)
    write_augmentation_page(tmp_path / "out", heard, RATE_HZ, "flac")
    browser.open((tmp_path / "out/report.html").as_uri())
    browser.click("article.example:nth-of-type(2) button.play")
    browser.wait_until("document.querySelector('article.example:nth-of-type(2)').innerText.includes('Pause')")
    complaints, browser.complaints = browser.complaints, []
    assert complaints == []
