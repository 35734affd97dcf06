"""Train the language model that entropy codes a codec's codes, and export it together with its codec.

python recipes/train_lm.py codec=FOLDER_OR_NAME data.train=AUDIO data.valid=AUDIO [experiment=lm_small] [output=FOLDER]

The codec stays as it is: its codes are extracted once, at its highest bandwidth, and kept in data.cache for later runs.
One model serves all bandwidths. At every validation the run logs what the model saves, and it ends with the folder
`output` (by default `codec` in the run's own folder), which `load_model` and `encodec --model FOLDER --lm` take. All
other options are those of train.py: hydra.run.dir=…, ckpt_path=last, logger=wandb, trainer.devices=8, --multirun, ….
"""

import hydra
from omegaconf import DictConfig

from encodec_lab.modules.process_memory import keep_freed_memory
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.lm_run import train_lm


@hydra.main(version_base="1.3", config_path="../configs", config_name="train_lm")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Train what the configuration describes."""
    train_lm(config)


if __name__ == "__main__":
    keep_freed_memory()
    run_application(main)
