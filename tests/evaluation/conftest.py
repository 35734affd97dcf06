"""A small codec and two short recordings to evaluate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from headless_browser import BROWSER, Page
from listening_page import RECORDINGS, listening_example
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.evaluation.report import ReportContent, write_report
from encodec_lab.models.encodec import EncodecModel


@pytest.fixture(scope="session")
def codec() -> EncodecModel:
    """Random weights, 24 kHz mono."""
    return random_codec(SMALL_24KHZ)


@pytest.fixture(scope="session")
def clips(carried_audio: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A second of speech (mono, 24 kHz) and half a second of music (stereo, 48 kHz), in `DOMAIN/test/`."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for domain, name, length_s in (
        ("speech", "en_ljspeech_f_02.flac", 1.0),
        ("music", "sonicpi_loopcompus_00.flac", 0.5),
    ):
        wav, rate_hz = soundfile.read(carried_audio / "test" / domain / name)
        paths.append(folder / domain / "test" / name)
        paths[-1].parent.mkdir(parents=True)
        soundfile.write(paths[-1], wav[: int(length_s * rate_hz)], rate_hz)
    return paths


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One headless browser for all tests that need one."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="session")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the page of `listening_page`, in the file system."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    examples = [listening_example(name) for name in RECORDINGS]
    write_report(path, ReportContent("Two recordings", examples=examples))
    return path.as_uri()


@pytest.fixture
def page(browser: Page, page_address: str) -> Iterator[Page]:
    """The page anew; nothing is kept from before, and nothing may complain until the end."""
    browser.open(page_address)
    yield browser
    browser.run("localStorage.clear()")
    complaints, browser.complaints = browser.complaints, []
    assert complaints == []
