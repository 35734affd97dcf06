"""Hear what training hears: crops before and after each augmentation, with what was drawn, on a page.

python recipes/hear_augmentations.py [output=FOLDER]
python recipes/hear_augmentations.py data.train=PATH data.reverb.probability=1 data.reverb.rt60_s=[0.2,0.6]
python recipes/hear_augmentations.py data=crops experiment=speech24k data.train=PATH

Any option of train.py that concerns its data does here what it does there.
"""

from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from encodec_lab.evaluation.augmentation_page import PAGE_FILE, hear_augmentations, write_augmentation_page
from encodec_lab.training.application import explains_mistakes, run_application


@hydra.main(version_base="1.3", config_path="../configs", config_name="hear_augmentations")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Write the page."""
    data = instantiate(config.data, valid=None, _convert_="all")
    data.setup("fit")
    heard = hear_augmentations(data.crops, config.num_crops)
    output = Path(config.output)
    write_augmentation_page(output, heard, data.crops.sample_rate_hz, config.format)
    print(f"{output / PAGE_FILE}: {len(heard)} crops; {output} has each sound as a file, too")


if __name__ == "__main__":
    run_application(main)
