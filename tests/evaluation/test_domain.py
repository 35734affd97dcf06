"""The domain of a file is told from its path alone."""

import pytest

from encodec_lab.evaluation.domain import domain_of


@pytest.mark.parametrize(
    ("path", "domain"),
    [
        ("/data/speech/test/a.wav", "speech"),
        ("/data/test/music/a.wav", "music"),
        ("/data/noise/a.wav", "noise"),
        ("/a.wav", "all"),
    ],
)
def test_domain_is_the_folder_that_is_no_split(path: str, domain: str) -> None:
    assert domain_of(path) == domain
