"""A start for convolutional networks that keeps the signal alive.

Torch's own start divides the variance of a small signal by three at every layer, and adds biases that are larger than
quiet audio. After SEANet's fourteen layers the latent is a constant and the decoder's output knows nothing of the
input; after the discriminator's six its logits are its biases. Either takes thousands of steps to unlearn.
"""

import math

import torch
from torch import nn

from encodec_lab.modules.seanet import ResidualUnit
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConv2d, WeightNormConvTranspose1d

_GROUP_NORM_BIAS_STD = 1e-2  # a layer of silence in front of a GroupNorm would multiply gradients by hundreds


@torch.no_grad()
def preserve_signal_(codec: nn.Module) -> None:
    """Draw a SEANet's 1-D convolutions anew, such that a small signal keeps its variance from layer to layer.

    Weights are normal with variance 1 / fan-in (He et al. 2015 for a linear unit, which ELU is around zero; for a
    transposed convolution the inputs that reach one output), the two branches of a residual unit give half the variance
    each. Biases are zero, or nearly so in front of a GroupNorm.
    """
    summed = {
        id(conv)
        for unit in codec.modules()
        if isinstance(unit, ResidualUnit)
        for conv in (*unit.block[-1].modules(), *unit.shortcut.modules())
    }
    for conv in codec.modules():
        if not isinstance(conv, nn.Conv1d | nn.ConvTranspose1d):
            continue
        fan_in = conv.in_channels * conv.kernel_size[0]
        if isinstance(conv, nn.ConvTranspose1d):
            fan_in = max(1, fan_in // conv.stride[0])
        std = math.sqrt((0.5 if id(conv) in summed else 1.0) / fan_in)
        assert conv.bias is not None
        if isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d):
            nn.init.normal_(conv.weight_v, std=std)
            conv.weight_g.copy_(torch.norm_except_dim(conv.weight_v, 2, 0))
            nn.init.zeros_(conv.bias)
        else:
            nn.init.normal_(conv.weight, std=std)
            nn.init.normal_(conv.bias, std=_GROUP_NORM_BIAS_STD)


@torch.no_grad()
def preserve_discriminated_signal_(discriminator: nn.Module, leaky_relu_slope: float) -> None:
    """Draw a discriminator's 2-D convolutions anew: He et al. 2015 for leaky ReLUs, biases zero."""
    for conv in discriminator.modules():
        if isinstance(conv, WeightNormConv2d):
            nn.init.kaiming_normal_(conv.weight_v, a=leaky_relu_slope)
            conv.weight_g.copy_(torch.norm_except_dim(conv.weight_v, 2, 0))
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
