"""Export a trained codec, or convert one that there is.

python recipes/export.py checkpoint=RUN/checkpoints/last.ckpt output=FOLDER [name=NAME] [format=FORMAT] [half=true]
python recipes/export.py codec=NAME_OR_PATH output=FOLDER format=onnx [bandwidth=KBPS]
python recipes/export.py codec=encodec_24khz name=NAME output=FOLDER lm=true
"""

import hydra
from omegaconf import DictConfig

from encodec_lab.compat.formats import convert_model
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved
from encodec_lab.training.export import export_checkpoint


@hydra.main(version_base="1.3", config_path="../configs", config_name="export")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Write the folder, reload it, compare, and say so."""
    values = resolved(config)
    checkpoint, codec, output = values["checkpoint"], values["codec"], values["output"]
    if (checkpoint is None) == (codec is None):
        raise ValueError("give one of checkpoint=FILE, of train.py, and codec=NAME_OR_PATH, to convert")
    options = {key: values[key] for key in ("format", "name", "bandwidth")}
    if values["lm"] and codec is None:
        raise ValueError(
            "lm=true is for codec=NAME_OR_PATH; recipes/train_lm.py trains one for a codec of yours"
        )
    if codec is not None:
        what = f"converted {convert_model(codec, output, lm=values['lm'], **options).name}"
    else:
        trained = export_checkpoint(checkpoint, output, half=values["half"], **options)
        what = f"exported {trained.codec.name} (step {trained.step})"
    as_format = "" if options["format"] == "folder" else f" for {options['format']}"
    print(f"{what} to {output}{as_format}; reloaded, it gives the same codes and audio")


if __name__ == "__main__":
    run_application(main)
