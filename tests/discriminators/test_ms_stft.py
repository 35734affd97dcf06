import copy
import importlib
import warnings
from types import ModuleType

import pytest
import torch
from torch import nn

from encodec_lab.discriminators import MultiScaleStftDiscriminator
from encodec_lab.modules.weight_norm import WeightNormConv2d

WINDOWS = [1024, 2048, 512, 256, 128]  # in the reference's order


@pytest.fixture
def discriminator() -> MultiScaleStftDiscriminator:
    torch.manual_seed(0)
    return MultiScaleStftDiscriminator([256, 128], num_filters=4, leaky_relu_slope=0.2)


def test_equals_the_reference_given_its_weights(reference_package: ModuleType) -> None:
    msstftd = importlib.import_module(f"{reference_package.__name__}.msstftd")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.nn.utils.weight_norm is deprecated
        theirs = msstftd.MultiScaleSTFTDiscriminator(
            filters=32, n_ffts=WINDOWS, hop_lengths=[window // 4 for window in WINDOWS], win_lengths=WINDOWS
        )
    ours = MultiScaleStftDiscriminator(WINDOWS, num_filters=32, leaky_relu_slope=0.2)
    ours.load_state_dict(_translated(theirs))
    wav = torch.randn(2, 1, 4000)
    with torch.no_grad():
        their_logits, their_features = theirs(wav)
        outputs = ours(wav)
    assert len(outputs) == len(their_logits) == 5
    for output, logits, features in zip(outputs, their_logits, their_features, strict=True):
        torch.testing.assert_close(output.logits, logits, rtol=1e-4, atol=1e-6)
        assert len(output.features) == 5
        for feature, expected in zip(output.features, features, strict=True):
            torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-6)


def _translated(theirs: nn.Module) -> dict[str, torch.Tensor]:
    """The reference's state under our names; its first convolution is not weight-normed, so it is split here."""
    state = {}
    for name, value in theirs.state_dict().items():
        if name.endswith("window"):
            continue
        name = name.replace("discriminators.", "scales.").replace("conv_post.conv.", "logits_conv.")
        name = name.replace(".conv.", ".")
        if name.endswith(".weight"):
            state[f"{name}_v"] = value
            state[f"{name}_g"] = value.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        else:
            state[name] = value
    return state


def test_every_convolution_is_weight_normed(discriminator: MultiScaleStftDiscriminator) -> None:
    """Fault 12: the reference leaves the first one out."""
    convs = [module for module in discriminator.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 2 * 6
    assert all(isinstance(conv, WeightNormConv2d) for conv in convs)
    assert discriminator.scales[0].convs[0].weight_g.shape == (4, 1, 1, 1)


def test_stereo_channels_are_judged_separately(discriminator: MultiScaleStftDiscriminator) -> None:
    """Fault 12: left and right are folded into the batch, neighbours in it."""
    wav = torch.randn(3, 2, 1000)
    left, right = discriminator(wav[:, :1]), discriminator(wav[:, 1:])
    for both, one, other in zip(discriminator(wav), left, right, strict=True):
        torch.testing.assert_close(both.logits[0::2], one.logits)
        torch.testing.assert_close(both.logits[1::2], other.logits)


def test_items_do_not_affect_each_other(discriminator: MultiScaleStftDiscriminator) -> None:
    wav = torch.randn(3, 1, 1000)
    for batch, single in zip(discriminator(wav), discriminator(wav[1:2]), strict=True):
        torch.testing.assert_close(batch.logits[1:2], single.logits)


def test_shapes_of_the_maps(discriminator: MultiScaleStftDiscriminator) -> None:
    first, second = discriminator(torch.randn(2, 1, 1000))
    assert [tuple(feature.shape) for feature in first.features] == [
        (2, 4, 12, 129),
        (2, 4, 12, 65),
        (2, 4, 12, 33),
        (2, 4, 12, 17),
        (2, 4, 12, 17),
    ]
    assert first.logits.shape == (2, 1, 12, 17)
    assert second.logits.shape == (2, 1, 28, 9)


def test_slope_of_the_activation_takes_effect() -> None:
    def smallest_feature(slope: float) -> float:
        torch.manual_seed(0)
        discriminator = MultiScaleStftDiscriminator([128], num_filters=2, leaky_relu_slope=slope)
        return float(discriminator(torch.linspace(-1, 1, 200).view(1, 1, -1))[0].features[0].detach().min())

    assert smallest_feature(0.0) == 0.0
    assert smallest_feature(0.3) == pytest.approx(1.5 * smallest_feature(0.2))
    assert smallest_feature(0.3) < 0


@pytest.mark.parametrize("autocast", [True, False])
def test_half_precision_audio_is_accepted(discriminator: MultiScaleStftDiscriminator, autocast: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = discriminator(torch.randn(1, 1, 1000, dtype=torch.bfloat16))
    assert all(output.logits.isfinite().all() for output in outputs)


def test_state_holds_weights_only_and_can_be_copied(discriminator: MultiScaleStftDiscriminator) -> None:
    names = {name.rsplit(".", 1)[1] for name in discriminator.state_dict()}
    assert names == {"weight_g", "weight_v", "bias"}
    wav = torch.randn(1, 1, 600)
    output = discriminator(wav)
    copied = copy.deepcopy(discriminator)(wav)
    assert torch.equal(output[0].logits, copied[0].logits)


def test_impossible_arguments_are_refused(discriminator: MultiScaleStftDiscriminator) -> None:
    with pytest.raises(ValueError, match="window length 130.*multiple of 4"):
        MultiScaleStftDiscriminator([130], num_filters=4, leaky_relu_slope=0.2)
    with pytest.raises(ValueError, match="window_lengths is empty"):
        MultiScaleStftDiscriminator([], num_filters=4, leaky_relu_slope=0.2)
    with pytest.raises(ValueError, match="num_filters 0"):
        MultiScaleStftDiscriminator([128], num_filters=0, leaky_relu_slope=0.2)
    with pytest.raises(ValueError, match="255 samples.*at least 256"):
        discriminator(torch.randn(1, 1, 255))
    with pytest.raises(ValueError, match=r"shape \(1, 1000\)"):
        discriminator(torch.randn(1, 1000))
