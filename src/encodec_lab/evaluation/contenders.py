"""Who is evaluated together: codecs, other encoders as baselines, and anchors."""

from collections import Counter
from collections.abc import Mapping, Sequence

from encodec_lab.evaluation.anchors import anchors_for
from encodec_lab.evaluation.baselines import MissingSystem, find_baselines
from encodec_lab.evaluation.evaluate import Contender
from encodec_lab.evaluation.row_keys import identity_tag
from encodec_lab.evaluation.transmission import CodecSystem
from encodec_lab.models.registry import load_model


def load_codecs(
    names_or_paths: Sequence[str], bandwidths: Sequence[float] | None = None, use_lm: bool = False
) -> list[CodecSystem]:
    """Codecs as `load_model` takes them, each at those of the bandwidths that it supports (all by default).

    Raises:
        ValueError: no such model, or a bandwidth that none supports, or a model that supports none of them.
    """
    models = [load_model(one) for one in names_or_paths]
    codecs = []
    for model in models:
        supported = [kbps for kbps in bandwidths or () if kbps in model.target_bandwidths]
        # With a single model every one must be right; `CodecSystem` says what would be.
        chosen = bandwidths if bandwidths is None or len(models) == 1 or not supported else supported
        codecs.append(CodecSystem(model, chosen, use_lm))
    for kbps in bandwidths or ():
        if not any(kbps in codec.bandwidths for codec in codecs):
            raise ValueError(f"no model supports a bandwidth of {kbps} kbps")
    taken = Counter(codec.name for codec in codecs)
    for codec in codecs:
        if taken[codec.name] > 1:
            codec.name += f" {identity_tag(codec.identity)}"
    if len({codec.name for codec in codecs}) < len(codecs):
        raise ValueError(f"the same model twice: {', '.join(names_or_paths)}")
    return codecs


def gather_contenders(
    codecs: Sequence[CodecSystem], baselines: Mapping[str, Sequence[float]], with_anchors: bool = True
) -> tuple[list[Contender], list[MissingSystem]]:
    """The codecs in their own forms, then baselines and anchors in that of the highest rate among them.

    Returns:
        The contenders, and the baselines whose programs are not installed.

    Raises:
        ValueError: as `find_baselines`.
    """
    contenders = [Contender(codec, codec.model.sample_rate, codec.model.channels) for codec in codecs]
    form = max((one.sample_rate_hz, one.channels) for one in contenders)
    others, missing = find_baselines(baselines)
    if with_anchors:
        others += anchors_for(form[0])
    return [*contenders, *(Contender(system, *form) for system in others)], missing
