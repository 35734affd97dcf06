"""What the experiments' configurations do to crops."""

import pytest
from hydra.utils import instantiate
from small_run import compose


def test_general24k_mixes_as_the_paper_does():
    """Sections 4.1 and A.1."""
    data = instantiate(
        compose("experiment=general24k", "data.train=x", "output_dir=x").data, _convert_="all", _partial_=True
    ).keywords
    strategies = data["mixing"].strategies
    assert {name: (one.probability, one.num_sources, one.reverb) for name, one in strategies.items()} == {
        "music": (0.32, 1, False),
        "other": (0.32, 1, True),
        "two": (0.24, 2, True),
        "three_without_music": (0.12, 3, True),
    }
    takes_music = {name for name, strategy in strategies.items() if strategy.takes("music")}
    assert takes_music == {"music", "two"}
    assert {name for name, strategy in strategies.items() if strategy.takes("speech")} == {*strategies} - {
        "music"
    }
    assert list(data["mixing"].gain_db) == [-10, 6]
    assert (data["reverb"].probability, list(data["reverb"].rt60_s)) == (0.2, [0.3, 1.3])
    assert (data["speed"].probability, data["equalizer"].probability) == (0, 0)


@pytest.mark.parametrize("experiment", ["speech24k", "music48k", "tiny"])
def test_no_augmentation_but_the_gain_is_on_by_default(experiment):
    data = compose(f"experiment={experiment}", "data.train=x", "output_dir=x").data
    assert data.mixing is None
    assert {data[name].probability for name in ("speed", "equalizer", "reverb")} == {0}
