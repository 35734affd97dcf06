"""Encode a corpus on local processes, as jobs of a SLURM array, or on a Ray cluster; each recording once.

python recipes/encode_corpus.py data=FOLDER_OR_MANIFEST model=NAME_OR_FOLDER output=FOLDER [format=ecdc] [workers=8]
sbatch --array=0-99 --wrap 'python recipes/encode_corpus.py data=… model=… output=… workers=8'
python recipes/encode_corpus.py data=… model=… output=… backend=ray [ray_address=auto]

Writes shards of codes (src/encodec_lab/data/code_shards.py has their format), or PATH.ecdc for each PATH. The same
command goes on where it was stopped or killed. Recordings that fail are listed in failures-*.jsonl of the output, tried
again with retry_failed=true, and make the exit status 1. Machines that share the work must see data, model and output
at the same paths.
"""

import os

import hydra
from omegaconf import DictConfig

from encodec_lab.corpus.encode_corpus import encode_corpus, prepare_encoding
from encodec_lab.corpus.inputs import array_slot
from encodec_lab.corpus.workers import task_runner
from encodec_lab.evaluation.progress import shown_progress
from encodec_lab.training.application import explains_mistakes, run_application
from encodec_lab.training.config import resolved


@hydra.main(version_base="1.3", config_path="../configs/corpus", config_name="encode_corpus")
@explains_mistakes
def main(config: DictConfig) -> None:
    """Encode, and say what came of it."""
    values = resolved(config)
    slot = array_slot(values["array_index"], values["array_size"], os.environ)
    runner = task_runner(values["backend"], values["workers"], values["ray_address"], values["device"])
    encoding = {key: values[key] for key in ("model", "output", "format", "lm", "device")}
    settings, description = prepare_encoding(**encoding, bandwidth_kbps=values["bandwidth"])
    with shown_progress(done="encoded") as on_progress:
        summary = encode_corpus(
            values["data"],
            settings,
            description,
            slot,
            runner,
            values["inputs_per_task"],
            values["retry_failed"],
            on_progress,
        )
    print(f"{values['output']}: {summary}")
    summary.raise_for_failures()


if __name__ == "__main__":
    run_application(main, registers=False)
