"""Which language model, if any, codes the codes of a stream."""

from encodec_lab.bitstream.code_payload import CodeCoder, RawCoder
from encodec_lab.bitstream.lm_coder import IntegerLMCoder
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.models.language_model import LMModel


def make_coder(model: EncodecModel, use_lm: bool) -> CodeCoder:
    """What codes the codes of version 1's records; ValueError if the model has no language model fit for that."""
    if not use_lm:
        return RawCoder(model.bits_per_codebook)
    lm = model.get_lm_model()
    if not isinstance(lm, IntegerLM):
        raise ValueError(
            f"the language model of {model.name!r} is one in floating point, which does not give the same bits"
            " everywhere; format v1 needs it in integers (models.integer_conversion), v0 takes it as it is"
        )
    _check_fits(model, lm)
    return IntegerLMCoder(lm)


def float_lm(model: EncodecModel) -> LMModel:
    """What codes the codes of version 0; ValueError if the model has no language model fit for that."""
    lm = model.get_lm_model()
    if isinstance(lm, IntegerLM):
        raise ValueError(
            f"the language model of {model.name!r} is one in integers, which format v0 does not know; use v1"
        )
    return lm


def _check_fits(model: EncodecModel, lm: IntegerLM) -> None:
    mine = (model.config.num_codebooks, model.config.codebook_size)
    theirs = (lm.config.num_codebooks, lm.config.codebook_size)
    if theirs[0] < mine[0] or theirs[1] != mine[1]:
        raise ValueError(
            f"a language model of {theirs[0]} codebooks of {theirs[1]} entries does not fit codec {model.name!r},"
            f" which has {mine[0]} of {mine[1]}"
        )
