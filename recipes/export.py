"""Export a trained codec: python recipes/export.py checkpoint=RUN/checkpoints/last.ckpt output=FOLDER [name=NAME]."""

import hydra
from omegaconf import DictConfig

from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved
from encodec_lab.training.export import export_checkpoint


@hydra.main(version_base="1.3", config_path="../configs", config_name="export")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Write the folder, reload it, compare, and say so."""
    values = resolved(config)
    trained = export_checkpoint(values["checkpoint"], values["output"], values["name"])
    print(
        f"exported {trained.codec.name} (step {trained.step}) to {values['output']}; "
        "reloaded, it gives the same codes and audio"
    )


if __name__ == "__main__":
    run_application(main)
