"""Train a codec: python train.py experiment=NAME [overrides]; configs/ holds what can be overridden."""

import sys

import hydra
from omegaconf import DictConfig

from encodec_lab.modules.process_memory import keep_freed_memory
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.run import train
from encodec_lab.training.sweep_summary import summarize_sweep


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Train what the configuration describes; in a sweep, say what its jobs have come to so far."""
    if train(config).is_global_zero and (told := summarize_sweep()):
        print(told, file=sys.stderr)


if __name__ == "__main__":
    keep_freed_memory()  # not in `main`: it is for the whole process
    run_application(main)
