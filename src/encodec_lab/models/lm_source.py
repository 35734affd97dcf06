"""Where a codec's language model comes from."""

from pathlib import Path

from encodec_lab.models.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import ENCODEC_LM_24KHZ, ENCODEC_LM_48KHZ, LMModel
from encodec_lab.models.pretrained import load_published_weights

# In floating point for streams of version 0, in integers for those of version 1.
AnyLM = LMModel | IntegerLM

# Codec -> what Meta published for it: a key of `PUBLISHED_FILES`, and the architecture.
PUBLISHED_LMS = {
    ENCODEC_24KHZ.name: ("encodec_lm_24khz", ENCODEC_LM_24KHZ),
    ENCODEC_48KHZ.name: ("encodec_lm_48khz", ENCODEC_LM_48KHZ),
}


class NoLanguageModel(ValueError):
    """A codec that has no language model was asked for it."""


class LMSource:
    """A language model at hand, or Meta's, fetched when first asked for.

    No `nn.Module`, so that the language model is no part of the codec that holds this: not in its state dict, nor among
    its parameters.

    Args:
        lm: the language model, if it is at hand.
        repository: a folder that holds the files that Meta published, to read them from there.
    """

    def __init__(self, lm: AnyLM | None = None, repository: str | Path | None = None) -> None:
        self.lm = lm
        self.repository = repository

    def get(self, codec_name: str) -> AnyLM:
        """The language model, in evaluation mode.

        Raises:
            NoLanguageModel: there is none at hand, and none published for a codec of that name.
            WeightsError: the published one cannot be had.
        """
        if self.lm is None:
            if codec_name not in PUBLISHED_LMS:
                raise NoLanguageModel(
                    f"model {codec_name!r} has no language model: neither was one exported with it, nor did Meta"
                    " publish one for it"
                )
            published_name, config = PUBLISHED_LMS[codec_name]
            lm = LMModel(config)
            lm.load_state_dict(load_published_weights(published_name, self.repository))
            self.lm = lm.eval()
        return self.lm
