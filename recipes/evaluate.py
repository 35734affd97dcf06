"""Evaluate codecs beside Opus, MP3 and low-pass anchors, from audio to a page to read and listen to.

python recipes/evaluate.py model=NAME_OR_FOLDER data=PATH [bandwidths=[6,12]] [visqol=true] [workers=2] [output=FOLDER]
python recipes/evaluate.py model=[A,B] data=[PATH,PATH] baselines=[opus] baseline_kbps.opus=[8,16]
python recipes/evaluate.py --multirun model=A,B bandwidths=[6],[12] data=PATH

The folder then holds report.html, rows.csv and rows.jsonl (a line a file, system and bandwidth), summary.csv (means
with 95 % bootstrap intervals), pairwise.csv (systems compared file by file), and scores.jsonl, from which a second run
takes what is the same. A sweep has a folder for each job, and all jobs together in its own.
"""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from encodec_lab.evaluation.evaluate_models import EvaluationSettings, baselines_of, evaluate_models
from encodec_lab.evaluation.progress import shown_progress
from encodec_lab.evaluation.results_folder import PAGE_FILE, STORE_FILE
from encodec_lab.evaluation.sweep import merge_sweep
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved


@hydra.main(version_base="1.3", config_path="../configs/evaluation", config_name="evaluate")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Evaluate, write, and say what came of it."""
    values = resolved(config)
    output, kbps = Path(values.pop("output")), values.pop("baseline_kbps")
    values["baselines"] = baselines_of(values["baselines"], kbps)
    folder = Path(HydraConfig.get().runtime.output_dir)
    with shown_progress() as on_progress:
        told = evaluate_models(EvaluationSettings(**values), folder, output / STORE_FILE, on_progress)
    print(told)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        merge_sweep(output)
        print(f"all jobs so far: {output / PAGE_FILE}")


if __name__ == "__main__":
    run_application(main, registers=False)
