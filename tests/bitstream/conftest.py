"""Codecs that the tests of the streams share."""

import pytest

from encodec_lab.models.encodec import EncodecModel


@pytest.fixture(scope="session", params=["SMALL_24KHZ", "SMALL_48KHZ"])
def codec(request: pytest.FixtureRequest) -> EncodecModel:
    """A small codec in one piece, and one with segments and scales."""
    import small_codec

    return small_codec.random_codec(getattr(small_codec, request.param))
