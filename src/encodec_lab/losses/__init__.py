"""Training losses, and the balancer that mixes their gradients.

Every loss of audio or of discriminator outputs is a mean over the items of the batch of a value that depends on that
item alone, so that ranks with equal shares of a batch average to one process with the whole of it.
"""

from encodec_lab.losses.adversarial import DiscriminatorHingeLoss, GeneratorHingeLoss
from encodec_lab.losses.balancer import BalancedGradient, LossBalancer
from encodec_lab.losses.commitment import commitment_loss
from encodec_lab.losses.compressed_spectrum import CompressedSpectrumLoss
from encodec_lab.losses.feature_matching import FeatureMatchingLoss
from encodec_lab.losses.intelligibility import IntelligibilityLoss
from encodec_lab.losses.mel import MultiScaleMelLoss, non_empty_mel_counts
from encodec_lab.losses.waveform import WaveformL1Loss

__all__ = [
    "BalancedGradient",
    "CompressedSpectrumLoss",
    "DiscriminatorHingeLoss",
    "FeatureMatchingLoss",
    "GeneratorHingeLoss",
    "IntelligibilityLoss",
    "LossBalancer",
    "MultiScaleMelLoss",
    "WaveformL1Loss",
    "commitment_loss",
    "non_empty_mel_counts",
]
