"""Pack audio into uncompressed tar files with an index: data.train=FOLDER then reads crops from them by seeking.

python recipes/make_shards.py data=FOLDER_OR_MANIFEST output=FOLDER [shard_mib=1024]

If it is stopped, the same command goes on from there. The folder may be copied to an object store:
data.train=s3://BUCKET/FOLDER/index.jsonl, with s3fs installed.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from encodec_lab.data.shard_building import write_shards
from encodec_lab.evaluation.progress import shown_progress
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved


@hydra.main(version_base="1.3", config_path="../configs/data_preparation", config_name="make_shards")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Write the shards, and say what is in them."""
    values = resolved(config)
    with shown_progress(done="packed") as on_progress:
        summary = write_shards(
            values["data"],
            Path(values["output"]),
            round(values["shard_mib"] * 2**20),
            values["max_bad_share"],
            on_progress,
        )
    print(
        f"{values['output']}: {summary.num_shards:,} shards, {summary.num_files:,} files, "
        f"{summary.duration_s / 3600:.2f} h"
    )


if __name__ == "__main__":
    run_application(main, registers=False)
