"""The language model against the reference package: state dict and probabilities, to the bit."""

import dataclasses
from types import ModuleType

import pytest
import torch
from small_codec import SMALL_24KHZ
from small_lm import random_lm, reference_twin, small_lm_config

from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, ENCODEC_LM_48KHZ, LMConfig, LMModel

SMALL = small_lm_config(SMALL_24KHZ)


def _random_indices(config: LMConfig, num_codebooks: int, num_frames: int, seed: int = 0) -> torch.Tensor:
    """[2, K, S], 0 ("no code") among them."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(config.codebook_size + 1, (2, num_codebooks, num_frames), generator=draws)


@pytest.mark.parametrize(
    ("config", "num_parameters"), [(ENCODEC_LM_24KHZ, 15_559_768), (ENCODEC_LM_48KHZ, 8_986_584)]
)
def test_state_dict_is_that_of_the_reference(
    reference_package: ModuleType, config: LMConfig, num_parameters: int
) -> None:
    ours = LMModel(config)
    assert sum(parameter.numel() for parameter in ours.parameters()) == num_parameters
    theirs = reference_twin(ours)  # loads our state dict
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {
        name: tensor.shape for name, tensor in theirs.state_dict().items()
    }


@torch.no_grad()
@pytest.mark.parametrize(
    ("config", "num_codebooks", "num_frames"),
    [(ENCODEC_LM_24KHZ, 8, 270), (ENCODEC_LM_48KHZ, 4, 40), (SMALL, 13, 100), (SMALL, 1, 7)],
)
def test_probabilities_equal_the_reference_to_the_bit(
    reference_package: ModuleType, config: LMConfig, num_codebooks: int, num_frames: int
) -> None:
    ours = random_lm(config)
    theirs = reference_twin(ours)
    indices = _random_indices(config, num_codebooks, num_frames)
    for offset in (0, 1000):
        expected = theirs(indices, None, offset)
        given = ours(indices, None, offset)
        assert torch.equal(given.probabilities, expected[0])
        assert given.offset == expected[2] == offset + num_frames
    states = their_states = None
    offset = their_offset = 0
    for frame in indices[:1].split(1, dim=2):
        expected, their_states, their_offset = theirs(frame, their_states, their_offset)
        probabilities, states, offset = ours(frame, states, offset)
        assert torch.equal(probabilities, expected)
    assert offset == their_offset == num_frames
    assert all(map(torch.equal, states, their_states))


@torch.no_grad()
def test_probabilities_are_some_and_depend_on_the_past() -> None:
    lm = random_lm(SMALL)
    indices = _random_indices(SMALL, 3, 4)
    probabilities = lm(indices).probabilities
    assert probabilities.shape == (2, 64, 3, 4)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 3, 4))
    torch.testing.assert_close(lm.logits(indices).probabilities.softmax(dim=1), probabilities)
    changed = indices.clone()
    changed[:, 2, 1] = (changed[:, 2, 1] + 1) % 65
    moved = (lm(changed).probabilities - probabilities).abs().amax(dim=(0, 1, 2)) > 0
    assert moved.tolist() == [False, True, True, True]


def test_too_many_codebooks() -> None:
    with pytest.raises(ValueError, match="has 13 codebooks, got codes of 14"):
        random_lm(SMALL)(torch.zeros(1, 14, 1, dtype=torch.long))


def test_configuration_survives_json() -> None:
    assert LMConfig.from_dict(SMALL.to_dict()) == SMALL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 15}, "dim must be even, .* got 15"),
        ({"dim": 2, "num_heads": 1}, "at least 4"),
        ({"num_heads": 3}, r"a multiple of num_heads \(3\)"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1, got 0"),
        ({"codebook_size": 64.0}, "codebook_size must be an integer"),
        ({"max_period": 1}, "max_period must be over 1"),
    ],
)
def test_impossible_configurations(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)
    with pytest.raises(ValueError, match=message):
        LMConfig.from_dict(SMALL.to_dict() | changes)


def test_unknown_and_missing_settings() -> None:
    with pytest.raises(ValueError, match="unknown language model settings width"):
        LMConfig.from_dict(SMALL.to_dict() | {"width": 1})
    with pytest.raises(ValueError, match="language model settings codebook_size, dim"):
        LMConfig.from_dict({})


@pytest.mark.parametrize("within_frame", [False, True])
@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_parameters_for_fewer_codebooks(within_frame: bool, num_codebooks: int) -> None:
    """They are those that get a gradient, and their order is about that of the forward pass."""
    lm = LMModel(dataclasses.replace(small_lm_config(SMALL_24KHZ), within_frame=within_frame))
    names = {parameter: name for name, parameter in lm.named_parameters()}
    ready: list[str] = []
    for parameter in lm.parameters():
        parameter.register_post_accumulate_grad_hook(lambda each: ready.append(names[each]))
    codes = torch.zeros(1, num_codebooks, 4, dtype=torch.long)
    lm.logits(codes, present=codes if within_frame else None).probabilities.square().sum().backward()
    used = [names[parameter] for parameter in lm.parameters_for(num_codebooks)]
    assert sorted(used) == sorted(ready) != sorted(names.values())
    tops = [[name.split(".")[0] for name in order] for order in (used, ready[::-1])]
    first, last = num_codebooks, -(3 if within_frame and num_codebooks > 1 else 2)
    assert tops[0][:first] == tops[1][:first] == ["emb"] * num_codebooks
    assert tops[0][last:].count("transformer") == tops[1][last:].count("transformer") == 0
