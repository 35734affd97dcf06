"""The convolution of few channels is the one that it replaces, forwards and backwards."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from encodec_lab.discriminators.few_channels_conv import FewChannelsConv2d
from encodec_lab.modules.weight_norm import WeightNormConv2d


@pytest.fixture
def both() -> tuple[FewChannelsConv2d, WeightNormConv2d]:
    torch.manual_seed(0)
    mine = FewChannelsConv2d(2, 5, kernel_size=(3, 9), padding=(1, 4))
    plain = WeightNormConv2d(2, 5, kernel_size=(3, 9), padding=(1, 4))
    plain.load_state_dict(mine.state_dict())
    return mine, plain


@pytest.mark.parametrize("height", [1, 2, 7])
def test_result_and_gradients(both: tuple[FewChannelsConv2d, WeightNormConv2d], height: int) -> None:
    wav = torch.randn(3, 2, height, 12)
    weights = torch.randn(3, 5, height, 12)
    gradients = []
    for conv in both:
        input = wav.clone().requires_grad_()
        output = conv(input)
        torch.testing.assert_close(output, both[1](wav))
        gradients.append(torch.autograd.grad((output * weights).sum(), [input, *conv.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1])


class Operations(TorchDispatchMode):
    """Counts the backward passes of convolutions, and the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = {"aten::convolution_backward": 0, "aten::convolution": 0}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if function.name() in self.counts:
            self.counts[function.name()] += 1
        return function(*args, **(kwargs or {}))


def test_only_what_is_asked_for(both: tuple[FewChannelsConv2d, WeightNormConv2d]) -> None:
    """A generator's losses leave the weights alone, a discriminator's the input."""
    mine, plain = both
    input = torch.randn(1, 2, 4, 12, requires_grad=True)
    loss, expected = mine(input).square().sum(), plain(input).square().sum()
    for wanted, wanted_of_plain, num_backward, num_forward in (
        ([input], [input], 0, 1),
        ([*mine.parameters()], [*plain.parameters()], 1, 0),
    ):
        with Operations() as operations:
            gradients = torch.autograd.grad(loss, wanted, retain_graph=True)
        assert list(operations.counts.values()) == [num_backward, num_forward]
        torch.testing.assert_close(
            gradients, torch.autograd.grad(expected, wanted_of_plain, retain_graph=True)
        )


def test_autocast(both: tuple[FewChannelsConv2d, WeightNormConv2d]) -> None:
    input = torch.randn(1, 2, 4, 12, requires_grad=True)
    gradients = []
    for conv in both:
        with torch.autocast("cpu", torch.bfloat16):
            output = conv(input)
        assert output.dtype == torch.bfloat16
        gradients.append(torch.autograd.grad(output.float().square().sum(), [input, *conv.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0.03, atol=0.03)
