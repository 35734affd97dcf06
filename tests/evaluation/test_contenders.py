"""Who takes part, and in which form the originals come to them."""

import pytest
from small_codec import SMALL_24KHZ, SMALL_48KHZ, random_codec

from encodec_lab.evaluation.contenders import gather_contenders, load_codecs
from encodec_lab.evaluation.row_keys import identity_tag
from encodec_lab.models.export_folder import write_export


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("exports")
    for name, codec in (
        ("first", random_codec(SMALL_24KHZ)),
        ("second", random_codec(SMALL_24KHZ, seed=1)),
        ("stereo", random_codec(SMALL_48KHZ)),
    ):
        write_export(folder / name, codec, {}, "")
    return {path.name: str(path) for path in folder.iterdir()}


def test_models_of_one_name_are_told_apart(exports: dict[str, str]) -> None:
    codecs = load_codecs([exports["first"], exports["second"], exports["stereo"]])
    assert codecs[2].name == "small_48khz"
    assert [codec.name for codec in codecs[:2]] == [
        f"small_24khz {identity_tag(codec.identity)}" for codec in codecs[:2]
    ]
    with pytest.raises(ValueError, match="the same model twice"):
        load_codecs([exports["first"], exports["first"]])


def test_each_model_takes_the_bandwidths_that_it_has(exports: dict[str, str]) -> None:
    codecs = load_codecs([exports["first"], exports["stereo"]], [6.0, 1.8])
    assert [codec.bandwidths for codec in codecs] == [(6.0, 1.8), (1.8,)]
    with pytest.raises(ValueError, match=r"7\.0 kbps"):
        load_codecs([exports["first"], exports["stereo"]], [1.8, 7.0])
    with pytest.raises(ValueError, match="6"):
        load_codecs([exports["stereo"], exports["first"]], [6.0])
    with pytest.raises(ValueError, match="7"):
        load_codecs([exports["first"]], [6.0, 7.0])


def test_others_take_the_form_of_the_highest_rate(exports: dict[str, str]) -> None:
    codecs = load_codecs([exports["first"], exports["stereo"]])
    contenders, missing = gather_contenders(codecs, {})
    assert missing == []
    assert [(one.system.name, one.sample_rate_hz, one.channels) for one in contenders] == [
        ("small_24khz", 24_000, 1),
        ("small_48khz", 48_000, 2),
        ("low-pass 3.5 kHz", 48_000, 2),
        ("low-pass 7 kHz", 48_000, 2),
    ]
    assert len(gather_contenders(codecs, {}, with_anchors=False)[0]) == 2
