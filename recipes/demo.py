"""The whole chain on carried audio, from training to a report: python recipes/demo.py (or `make demo`)."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import encodec_lab
from encodec_lab.data.manifest import list_audio
from encodec_lab.evaluation.codec_report import report_on_codec
from encodec_lab.evaluation.summary import format_summaries, summarise

AUDIO = Path(encodec_lab.__file__).parent / "assets/audio"
CLIP = AUDIO / "test/speech/en_vctkp233_f_00.flac"
OUT = Path("outputs/demo")


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of this environment, and show it as one would type it."""
    print(f"\n$ {shlex.join([program, *map(str, arguments)])}", flush=True)
    if subprocess.run([Path(sys.executable).with_name(program), *arguments], check=False).returncode:
        sys.exit("demo: the command above failed")


def main() -> None:
    """Leave everything in OUT."""
    os.chdir(Path(__file__).parents[1])
    shutil.rmtree(OUT, ignore_errors=True)
    started_s = time.monotonic()
    run("python", "train.py", "experiment=tiny", f"hydra.run.dir={OUT}/train")
    training_s = time.monotonic() - started_s
    run("python", "recipes/export.py", f"checkpoint={OUT}/train/checkpoints/last.ckpt", f"output={OUT}/codec")
    lm = f"codec={OUT}/codec output={OUT}/codec data.cache={OUT}/codes hydra.run.dir={OUT}/train_lm"
    run("python", "recipes/train_lm.py", "experiment=lm_tiny", *lm.split())
    model = encodec_lab.load_model(OUT / "codec")
    kbps = f"{model.target_bandwidths[-1]:g}"
    run("encodec", "--model", OUT / "codec", "-b", kbps, CLIP, OUT / "compressed.ecdc")
    run("encodec", "--model", OUT / "codec", "-b", kbps, "--lm", CLIP, OUT / "compressed_lm.ecdc")
    run("encodec", "--model", OUT / "codec", OUT / "compressed_lm.ecdc", OUT / "decompressed.wav")
    facts = {"training": f"{training_s / 60:.1f} min on {os.cpu_count()} CPU cores, on carried clips"}
    heard, test, logged = list_audio(AUDIO / "train"), list_audio(AUDIO / "test"), OUT / "train/metrics.csv"
    rows = report_on_codec(model, test, OUT, "The demo codec", facts, logged, heard, num_workers=2)
    print(f"""{format_summaries(summarise(rows))}

Trained a codec in {training_s:.0f} s, and sent {CLIP.name}, which it had not heard, through {kbps} kbps:
{CLIP.stat().st_size:,} bytes of FLAC, {(OUT / "compressed.ecdc").stat().st_size:,} compressed, \
{(OUT / "compressed_lm.ecdc").stat().st_size:,} with the language model. {time.monotonic() - started_s:.0f} s in all.

  {OUT}/report.html         what to open first: curves, tables, spectrograms, and sound to listen to
  {OUT}/decompressed.wav    what became of {CLIP}
  {OUT}/codec               the exported codec and its language model: encodec --model {OUT}/codec --lm INPUT
  {OUT}/train, train_lm     checkpoints, metrics.csv and samples of the training runs""")


if __name__ == "__main__":
    main()
