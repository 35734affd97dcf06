"""From a trained language model to a folder that holds it beside its codec."""

import datetime
import json
from pathlib import Path
from typing import Any

from torch import Tensor

from encodec_lab.compat.formats import write_format
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.export_folder import CARD_FILE, CONFIG_FILE
from encodec_lab.models.integer_conversion import to_integer_lm
from encodec_lab.models.lm_source import LMSource
from encodec_lab.training.lm_figures import figures_table
from encodec_lab.training.lm_module import LMTraining

_CARD_HEADING = "## Language model"


def export_with_lm(
    output: str | Path, codec: EncodecModel, module: LMTraining, codec_source: str | Path, codes: Tensor
) -> None:
    """Write codec and language model as the folder `output`, reloaded and compared before it appears.

    The language model is converted to integers, so that streams decode on every machine.

    Args:
        output: its place; an earlier export is replaced.
        codec: gets the language model as its own.
        module: the averaged weights of its language model are taken.
        codec_source: the folder or name that the codec came from, of which card and provenance are kept.
        codes: [B, K, L] of training recordings, to see the ranges of the activations with.

    Raises:
        ValueError: see `write_format`.
    """
    codec.lm_source = LMSource(to_integer_lm(module.average_lm.eval().cpu(), codes))
    provenance = {
        **_earlier_provenance(Path(codec_source)),
        "lm": {
            "step": module.figures_step if module.figures else module.global_step,
            "exported": datetime.date.today().isoformat(),
            "training": module.run_config,
        },
    }
    write_format(output, codec.cpu(), "folder", provenance, _model_card(codec, module, Path(codec_source)))


def _earlier_provenance(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        return {"codec": str(folder)}
    provenance = json.loads(path.read_text(encoding="utf-8")).get("provenance")
    return provenance if isinstance(provenance, dict) else {}


def _model_card(codec: EncodecModel, module: LMTraining, folder: Path) -> str:
    """The codec's card, with a section on the language model at its end."""
    path = folder / CARD_FILE
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {codec.name}\n"
    card = card.partition(_CARD_HEADING)[0].rstrip()
    num_parameters = sum(parameter.numel() for parameter in module.average_lm.parameters())
    data = module.run_config["data"]
    lines = [
        _CARD_HEADING,
        "",
        f"- trained by encodec-lab for {module.global_step} steps on `{data['train']}`",
        f"- parameters: {num_parameters / 1e6:.2f} million",
    ]
    if module.figures:
        lines += [
            "",
            f"Entropy coding of the validation recordings, in records of {data['record_s']:g} s:",
            "",
            figures_table(module.figures),
        ]
    return card + "\n\n" + "\n".join(lines) + "\n"
