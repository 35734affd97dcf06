"""`get_lm_model`: where it looks, what it keeps, and what the codec does not hold."""

import copy
from pathlib import Path

import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec
from small_lm import random_lm, small_lm_config

from encodec_lab.models import lm_source
from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ, CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.lm_source import PUBLISHED_LMS, LMSource, NoLanguageModel
from encodec_lab.models.pretrained import PUBLISHED_FILES, WeightsError


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=lambda config: config.name)
def test_architectures_of_the_published(config: CodecConfig) -> None:
    published_name, lm_config = PUBLISHED_LMS[config.name]
    assert published_name in PUBLISHED_FILES
    assert lm_config.num_codebooks == config.num_codebooks
    assert lm_config.codebook_size == config.codebook_size
    assert lm_config.past_context_frames == int(3.5 * config.frame_rate_hz)


def test_a_published_codec_loads_its_own_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm_config = PUBLISHED_LMS["encodec_48khz"][1]
    weights = random_lm(lm_config).state_dict()
    asked = []

    def load(name: str, repository: object) -> dict[str, torch.Tensor]:
        asked.append((name, repository))
        return weights

    monkeypatch.setattr(lm_source, "load_published_weights", load)
    codec = EncodecModel(ENCODEC_48KHZ)
    codec.lm_source = LMSource(repository="somewhere")
    lm = codec.get_lm_model()
    assert codec.get_lm_model() is lm
    assert asked == [("encodec_lm_48khz", "somewhere")]
    assert not lm.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in lm.state_dict().items())


def test_a_repository_without_it(tmp_path: Path) -> None:
    codec = EncodecModel(ENCODEC_24KHZ)
    codec.lm_source = LMSource(repository=tmp_path)
    with pytest.raises(WeightsError, match="has no file encodec_lm_24khz-1608e3c0.th; put https://"):
        codec.get_lm_model()


def test_a_codec_without() -> None:
    with pytest.raises(NoLanguageModel, match="model 'small_24khz' has no language model"):
        random_codec(SMALL_24KHZ).get_lm_model()
    assert issubclass(NoLanguageModel, ValueError)


def test_the_codec_does_not_hold_it() -> None:
    codec = random_codec(SMALL_24KHZ)
    names, num_parameters = list(codec.state_dict()), len(list(codec.parameters()))
    codec.lm_source = LMSource(random_lm(small_lm_config(SMALL_24KHZ)))
    codec.get_lm_model()
    assert list(codec.state_dict()) == names
    assert len(list(codec.parameters())) == num_parameters
    copied = copy.deepcopy(codec).get_lm_model()
    assert copied is not codec.get_lm_model()


def test_a_caller_can_replace_it() -> None:
    codec = random_codec(SMALL_24KHZ)
    lm = random_lm(small_lm_config(SMALL_24KHZ))
    codec.get_lm_model = lambda: lm  # type: ignore[method-assign]
    assert codec.get_lm_model() is lm
    assert not any(name.startswith("get_lm_model") for name in codec.state_dict())
