"""The language model of a codec that there is, in integers: for streams of version 1."""

import torch

from encodec_lab.data.carried_audio import carried_clips
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.language_model import LMModel
from encodec_lab.models.lm_source import LMSource

# Of each clip that the package carries, to see the ranges of the activations with.
_CLIP_S = 5.0


@torch.no_grad()
def convert_lm(codec: EncodecModel) -> None:
    """Put the integer form of the codec's language model in its place, if it is one in floating point.

    Raises:
        NoLanguageModel: a ValueError, the codec has none.
        WeightsError: a ValueError, Meta's is asked for and cannot be had.
    """
    lm = codec.get_lm_model()
    if not isinstance(lm, LMModel):
        return
    codes = []
    with codec.at_bandwidth(max(codec.target_bandwidths)):
        for clip in carried_clips(codec.sample_rate, codec.channels):
            frames = codec.encode(clip[None, :, : round(_CLIP_S * codec.sample_rate)].to(codec.device))
            codes.append(torch.cat([frame.codes for frame in frames], dim=-1))
    shortest = min(part.shape[-1] for part in codes)
    codec.lm_source = LMSource(to_integer_lm(lm, torch.cat([part[..., :shortest] for part in codes])))
