"""Train a codec: python train.py experiment=NAME [overrides]; configs/ holds what can be overridden."""

import hydra
from omegaconf import DictConfig

from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.run import train


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Train what the configuration describes."""
    train(config)


if __name__ == "__main__":
    run_application(main)
