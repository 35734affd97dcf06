"""The adversaries that the codec is trained against."""

from encodec_lab.discriminators.ms_stft import MultiScaleStftDiscriminator, ScaleOutput

__all__ = ["MultiScaleStftDiscriminator", "ScaleOutput"]
