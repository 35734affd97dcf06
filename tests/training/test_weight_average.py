import pytest
import torch
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.training.weight_average import WeightAverage


def moved(codec, change):
    """Add a number to all that the codec holds."""
    with torch.no_grad():
        for tensor in [*codec.parameters(), *codec.buffers()]:
            tensor += change
    return codec


def test_parameters_are_averaged_and_buffers_copied():
    codec = random_codec(SMALL_24KHZ)
    average = WeightAverage(codec, decay=0.4)
    start = {name: value.clone() for name, value in codec.state_dict().items()}
    average.update(moved(codec, 1.0), step=1000)
    buffers = {name for name, _ in codec.named_buffers()}
    assert buffers
    for name, value in average.codec.state_dict().items():
        torch.testing.assert_close(value, start[name] + (1.0 if name in buffers else 0.6))


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (1, 2 / 11), (90, 0.91), (10_000, 0.95)])
def test_the_random_start_is_forgotten_quickly(step, decay):
    codec = random_codec(SMALL_24KHZ)
    average = WeightAverage(codec, decay=0.95)
    bias = "encoder.model.0.conv.conv.bias"
    start = codec.state_dict()[bias].clone()
    average.update(moved(codec, 1.0), step)
    torch.testing.assert_close(average.codec.state_dict()[bias] - start, torch.full_like(start, 1 - decay))


def test_it_is_apart_from_the_codec():
    codec = random_codec(SMALL_24KHZ).train()
    average = WeightAverage(codec, decay=0.9)
    holder = torch.nn.ModuleDict({"codec": codec, "average": average}).train()
    assert codec.training
    assert not average.codec.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in codec.parameters())
    before = {name: value.clone() for name, value in average.codec.state_dict().items()}
    moved(codec, 1.0)
    torch.testing.assert_close(average.codec.state_dict(), before, rtol=0, atol=0)
    assert len([name for name in holder.state_dict() if name.startswith("average.codec.")]) == len(before)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5, float("nan")])
def test_bad_decay(decay):
    with pytest.raises(ValueError, match=f"decay of the weight average must be in .*, got {decay}"):
        WeightAverage(random_codec(SMALL_24KHZ), decay)
