"""List audio with durations, rates, peaks and hashes, in parallel: data.train=MANIFEST starts without opening files.

python recipes/make_manifest.py data=FOLDER output=MANIFEST.jsonl [workers=8] [decode=false]
python recipes/make_manifest.py data=FOLDER_OF_TARS output=MANIFEST.jsonl

If it is stopped, the same command goes on from there.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from encodec_lab.data.manifest_building import build_manifest
from encodec_lab.evaluation.progress import shown_progress
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved


@hydra.main(version_base="1.3", config_path="../configs/data_preparation", config_name="make_manifest")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Build the manifest, and say what is in it."""
    values = resolved(config)
    with shown_progress(done="read") as on_progress:
        summary = build_manifest(
            values["data"],
            Path(values["output"]),
            values["workers"],
            values["decode"],
            values["max_bad_share"],
            on_progress,
        )
    left_out = f", {summary.num_bad:,} left out" if summary.num_bad else ""
    print(f"{values['output']}: {summary.num_files:,} files, {summary.duration_s / 3600:.2f} h{left_out}")


if __name__ == "__main__":
    run_application(main, registers=False)
