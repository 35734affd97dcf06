"""A start for convolutional codecs that keeps the signal alive."""

import math

import torch
from torch import nn

from encodec_lab.modules.seanet import ResidualUnit
from encodec_lab.modules.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d


@torch.no_grad()
def preserve_signal_(network: nn.Module) -> None:
    """Draw the 1-D convolutions of a SEANet anew, such that a small signal keeps its variance from layer to layer.

    Torch's own start divides the variance by three at every layer, and adds biases larger than quiet audio: after
    SEANet's fourteen layers the latent is a constant and the decoder's output knows nothing of the input, which takes
    thousands of steps to unlearn. Here weights are normal with variance 1 / fan-in (He et al. 2015 for a linear unit,
    which ELU is around zero; for a transposed convolution the inputs that reach one output), the two branches of a
    residual unit give half the variance each, and biases are zero.
    """
    summed = {
        id(conv)
        for unit in network.modules()
        if isinstance(unit, ResidualUnit)
        for conv in (*unit.block[-1].modules(), *unit.shortcut.modules())
    }
    for conv in network.modules():
        if not isinstance(conv, nn.Conv1d | nn.ConvTranspose1d):
            continue
        fan_in = conv.in_channels * conv.kernel_size[0]
        if isinstance(conv, nn.ConvTranspose1d):
            fan_in = max(1, fan_in // conv.stride[0])
        std = math.sqrt((0.5 if id(conv) in summed else 1.0) / fan_in)
        if isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d):
            nn.init.normal_(conv.weight_v, std=std)
            conv.weight_g.copy_(torch.norm_except_dim(conv.weight_v, 2, 0))
        else:
            nn.init.normal_(conv.weight, std=std)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
