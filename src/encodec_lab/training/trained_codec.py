"""The networks in a checkpoint of `train.py`."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import Tensor

from encodec_lab.models.config import CodecConfig
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.pretrained import load_torch_file


@dataclasses.dataclass(frozen=True)
class TrainedCodec:
    """A codec out of a checkpoint.

    Attributes:
        codec: with the averaged weights, in evaluation mode.
        discriminator: its state dict; empty if the run had none.
        step: generator steps that made them.
        run_config: the run's whole configuration.
    """

    codec: EncodecModel
    discriminator: dict[str, Tensor]
    step: int
    run_config: dict[str, Any]


def load_trained_codec(checkpoint: str | Path, name: str | None = None) -> TrainedCodec:
    """Read a checkpoint of `train.py`; `name` replaces the codec's name.

    Raises:
        ValueError: no such file, not a checkpoint of ours, or codebooks that k-means has not started yet.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise ValueError(f"checkpoint={checkpoint}: there is no such file")
    content: Any = load_torch_file(path)
    try:
        run_config, state, step = content["run_config"], content["state_dict"], int(content["global_step"])
        model_values = {key: value for key, value in run_config["model"].items() if not key.startswith("_")}
        config = CodecConfig.from_dict(model_values | ({"name": name} if name else {}))
        codec = EncodecModel(config).eval()
        codec.load_state_dict(_part(state, "average.codec."))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ValueError(f"{path} is not a checkpoint of train.py: {reason}") from error
    if not codec.quantizer.started:
        raise ValueError(f"{path} is of step {step}, before k-means has started the codebooks: train on")
    return TrainedCodec(codec, _part(state, "discriminator."), step, run_config)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
