"""`recipes/train_lm.py`, from a codec and recordings to a folder that holds both."""

import json
import signal
from pathlib import Path

import pytest
import soundfile
import torch
from small_codec import random_wav
from small_lm_run import compose_lm, export_codec, shrunk_lm
from small_run import REPOSITORY, start_program

from encodec_lab import compress, decompress, load_model
from encodec_lab.evaluation.training_log import read_training_records
from encodec_lab.models.integer_lm import IntegerLM
from encodec_lab.training.code_cache import codes_folder, read_codes
from encodec_lab.training.lm_figures import code_bits
from encodec_lab.training.lm_run import train_lm

EXPERIMENTS = sorted(path.stem for path in (REPOSITORY / "configs/experiment").glob("lm_*.yaml"))
NUM_STEPS = 7


@pytest.fixture(scope="module")
def settings(noise_folder, tmp_path_factory):
    """What shrinks any run; the codes are extracted once for all tests here."""
    root = tmp_path_factory.mktemp("lm")
    export_codec(root / "codec")
    return shrunk_lm(noise_folder, root / "codec", root / "cache")


def resumable(settings, output_dir, *changes):
    return compose_lm(
        *settings,
        f"output_dir={output_dir}",
        "lm.within_frame=true",
        "lm_training.dropout=0.2",
        f"trainer.max_steps={NUM_STEPS}",
        f"lm_training.schedule.total_steps={NUM_STEPS}",
        "lm_training.schedule.warmup_steps=2",
        "trainer.val_check_interval=3",
        "callbacks.checkpoint.every_n_steps=1",
        "callbacks.checkpoint.save_top_k=-1",
        "~callbacks.reporter",
        *changes,
    )


@pytest.fixture(scope="module")
def unbroken(settings, tmp_path_factory):
    """The folder of a run never stopped, and its trainer."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, train_lm(resumable(settings, folder))


def state_of(trainer):
    """All that the run has learned."""
    state = dict(trainer.lightning_module.state_dict())
    for index, moments in trainer.optimizers[0].state_dict()["state"].items():
        state |= {f"{index}.{name}": value for name, value in moments.items()}
    return state


def test_after_the_training_no_signal_ends_the_run(settings, tmp_path, monkeypatch):
    """The last validation and the export would be lost."""
    received, finds = [], str(Path(__file__).parent)
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda got, _: received.append(got)) for number in numbers}
    monkeypatch.syspath_prepend(finds)
    callbacks = [
        setting
        for number in numbers
        for setting in (
            f"+callbacks.{number.name}._target_=signalled.SignalAtHook",
            f"+callbacks.{number.name}.hook=on_validation_start",
            f"+callbacks.{number.name}.is_after_training=true",
            f"+callbacks.{number.name}.number={number.name}",
        )
    ]
    try:
        train_lm(resumable(settings, tmp_path, *callbacks))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert received == []
    assert (tmp_path / "codec").is_dir()


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_resumed_run_is_the_run_never_stopped(unbroken, settings, tmp_path, step):
    folder, expected = unbroken
    checkpoint = folder / f"checkpoints/step_{step:07d}.ckpt"
    trainer = train_lm(resumable(settings, tmp_path, f"ckpt_path={checkpoint}"))
    assert trainer.global_step == NUM_STEPS
    state = state_of(expected)
    assert [name for name, value in state_of(trainer).items() if not torch.equal(value, state[name])] == []
    records = [read_training_records(path / "metrics.csv") for path in (folder, tmp_path)]
    kept, resumed = ([(s, dict(v) | {"epoch": 0}) for s, v in found if s >= step] for found in records)
    assert resumed[: len(kept)] == kept


def test_what_a_run_leaves(unbroken, settings, noise_folder):
    folder, trainer = unbroken
    module = trainer.lightning_module
    model = load_model(folder / "codec")
    integer, lm = model.get_lm_model(), module.average_lm
    assert isinstance(integer, IntegerLM)
    assert integer.config.architecture == lm.config
    assert lm.config.within_frame
    assert any(
        not torch.equal(value, module.lm.state_dict()[name]) for name, value in lm.state_dict().items()
    )
    provenance = json.loads((folder / "codec/config.json").read_text())["provenance"]
    assert provenance["made"] == "for tests"
    assert provenance["lm"]["step"] == NUM_STEPS
    card = (folder / "codec/README.md").read_text()
    assert card.startswith("# small\n\nA card.\n\n## Language model\n")
    assert card.count("\n| 12 kbps | 12.00 | ") == 1
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == NUM_STEPS
    assert checkpoint["run_config"]["frozen_codec"]["name"] == "small"
    codec_tensors = set(model.state_dict())
    assert not any(name.split(".", 1)[1] in codec_tensors for name in checkpoint["state_dict"])
    # The figures are those of the exported model, on records of 0.1 s.
    cache = Path(next(s for s in settings if s.startswith("data.cache")).partition("=")[2])
    records = [
        record.long()
        for name in "cde"
        for record in torch.from_numpy(
            read_codes(codes_folder(cache, model), noise_folder / f"valid/{name}.wav")
        ).split(300, dim=1)
    ]
    with torch.no_grad():
        bits = [float(code_bits(lm, record[None, :2]).sum()) for record in records]
    intervals = [integer.intervals(record[None, :2]) for record in records]
    in_integers = [float((of.totals / of.frequencies).log2().sum()) for of in intervals]
    assert sum(in_integers) == pytest.approx(sum(bits), rel=0.01)
    num_frames = sum(record.shape[1] for record in records)
    assert module.figures[1].lm_bits == pytest.approx(sum(bits) / num_frames, rel=1e-5)


def test_the_export_codes_with_its_language_model(settings, tmp_path):
    train_lm(compose_lm(*settings, f"output_dir={tmp_path}", f"output={tmp_path / 'here'}", "name=renamed"))
    model = load_model(tmp_path / "here")
    assert model.name == "renamed"
    stream = compress(model, random_wav(1, 1_000), use_lm=True)
    assert decompress(stream, model=load_model(tmp_path / "here"))[0].shape == (1, 1_000)


def test_the_loss_falls(settings, tmp_path):
    changes = [
        "trainer.max_steps=60",
        "optimizer.lr=0.01",
        "data.valid=null",
        "lm_training.schedule.warmup_steps=1",
    ]
    train_lm(compose_lm(*settings, *changes, "lm.starts_from_codebooks=false", f"output_dir={tmp_path}"))
    losses = [v["train/bits_per_code"] for _, v in read_training_records(tmp_path / "metrics.csv")]
    assert sum(losses[-10:]) < sum(losses[:10]) - 2
    assert (tmp_path / "codec/lm.safetensors").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs_and_says_how(experiment, settings, tmp_path, capsys):
    trainer = train_lm(compose_lm(f"experiment={experiment}", *settings, f"output_dir={tmp_path}"))
    assert trainer.global_step == 2
    told = capsys.readouterr().err
    for words in (
        "saving, %: 12kbps",
        "| 12 kbps | 12.00 |",
        f"codec and language model: {tmp_path / 'codec'}",
    ):
        assert words in told
    page = (tmp_path / "curves.html").read_text()
    assert "What the language model saves of the bits" in page
    assert "Training loss" in page
    lines = (REPOSITORY / f"configs/experiment/{experiment}.yaml").read_text().splitlines()
    assert any(f"python recipes/train_lm.py experiment={experiment}" in line for line in lines)
    assert any("Hardware:" in line for line in lines)


def test_the_papers_language_model(noise_folder, settings, tmp_path):
    # 3.5 s are 10,500 frames of this codec, more than the integer form takes.
    changes = [c for c in settings if not c.startswith("lm.") or c.startswith("lm.past_context_s")]
    trainer = train_lm(
        compose_lm(*changes, "trainer.max_steps=1", "data.valid=null", f"output_dir={tmp_path}")
    )
    config = trainer.lightning_module.lm.config
    assert (config.num_layers, config.num_heads, config.dim, config.feedforward_dim) == (5, 8, 200, 800)
    assert (config.past_context_frames, config.within_frame) == (15, False)
    defaults = compose_lm("codec=x", "data.train=x", "output_dir=x")
    assert (defaults.data.sequence_s, defaults.lm.past_context_s, defaults.lm_training.dropout) == (5, 3.5, 0)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("codec=nowhere", "codec=nowhere: no model 'nowhere'"),
        ("codec=???", "codec"),
        ("data.train=/nowhere", "/nowhere"),
        ("lm.dims=3", "lm.dims"),
        ("+lm.dims=3", "unknown language model settings dims"),
        ("+lm.num_codebooks=3", "lm.num_codebooks is decided by the codec"),
        ("lm.dim=7", "multiple of num_heads"),
        ("lm.past_context_s=3.5", "10500 frames of past context"),
        ("lm=papr", "papr"),
        ("+lm_training.foo=1", "unexpected keyword argument 'foo'"),
        ("lm_training.dropout=1.5", "dropout must be in [0, 1), got 1.5"),
        ("lm_training.average_decay=1", "got 1"),
        ("lm_training.max_position_s=0.001", "shorter than a sequence"),
        ("+optimizer.foo=1", "unexpected keyword argument 'foo'"),
        ("data.batch_size=0", "batch size 0"),
        ("data.device=abacus", "data.device=abacus: codes can be extracted on cpu"),
        ("data.sequence_s=0", "data.sequence_s must be two frames or more"),
        ("+data.foo=1", "unexpected keyword argument 'foo'"),
        ("name=encodec_24khz", "Meta's language model"),
        ("ckpt_path=last", "ckpt_path=last"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1 is not supported"),
    ],
)
def test_a_mistake_is_one_line_before_any_training(run_script, settings, tmp_path, capsys, mistake, words):
    code = run_script("recipes/train_lm.py", *settings, mistake)
    said = capsys.readouterr()
    assert code == 1, said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    files = {path.name for path in tmp_path.rglob("*") if path.is_file() and ".hydra" not in path.parts}
    assert files <= {"train_lm.log"}


def test_a_checkpoint_of_another_codec_or_model_is_refused(unbroken, settings, tmp_path):
    last = f"ckpt_path={unbroken[0] / 'checkpoints/last.ckpt'}"
    with pytest.raises(ValueError, match=r"another lm; it differs in dim \(8 there, 16 here\)"):
        train_lm(resumable(settings, tmp_path, last, "lm.dim=16"))
    export_codec(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="another frozen_codec; it differs in identity"):
        train_lm(resumable(settings, tmp_path, last, f"codec={tmp_path / 'other'}"))


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(settings, tmp_path):
    states = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        changes = ["trainer.max_steps=4", f"trainer.devices={devices}", f"hydra.run.dir={folder}"]
        result = start_program("recipes/train_lm.py", *settings, *changes, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stderr.count("codec and language model: ") == 1
        states.append(torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-5)


def test_bad_recordings_are_left_out_with_a_warning(settings, noise_folder, tmp_path):
    for name in ("a", "b", "c", "d"):
        data = soundfile.read(noise_folder / "train/a.wav")[0]
        soundfile.write(tmp_path / f"{name}.flac", data, 24_000)
    damaged = bytearray((tmp_path / "d.flac").read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    (tmp_path / "d.flac").write_bytes(damaged)
    with pytest.warns(UserWarning, match="left out 1 of 4 audio files: .*d.flac"):
        train_lm(compose_lm(*settings, f"data.train={tmp_path}", f"output_dir={tmp_path / 'run'}"))
