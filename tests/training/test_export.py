import dataclasses
import os

import pytest
import torch
from small_run import compose, shrunk, start_program

from encodec_lab import load_model
from encodec_lab.compat import formats
from encodec_lab.training import export
from encodec_lab.training.run import train


@pytest.fixture(scope="module")
def run(noise_folder, tmp_path_factory):
    """The folder of a run that is over, and its module."""
    folder = tmp_path_factory.mktemp("run")
    settings = [*shrunk(noise_folder), "trainer.max_steps=3", "trainer.val_check_interval=3"]
    trainer = train(compose("experiment=tiny", *settings, f"output_dir={folder}", "~callbacks.samples"))
    return folder, trainer.lightning_module


def test_export_holds_the_averaged_weights(run, tmp_path):
    folder, module = run
    trained = export.export_checkpoint(folder / "checkpoints/last.ckpt", tmp_path / "exported")
    assert trained.step == 3
    model = load_model(tmp_path / "exported")
    assert model.config == module.codec.config
    torch.testing.assert_close(model.state_dict(), module.average.codec.state_dict(), rtol=0, atol=0)
    weight = "decoder.model.0.conv.conv.weight_v"
    assert not torch.equal(model.state_dict()[weight], module.codec.state_dict()[weight])
    card = (tmp_path / "exported/README.md").read_text()
    assert "3 generator steps" in card
    assert card.count("kbps | ") == 2
    assert "–" not in card, "the scores of the last validation are missing"


def test_another_name(run, tmp_path):
    folder, _ = run
    export.export_checkpoint(folder / "checkpoints/last.ckpt", tmp_path / "exported", "renamed")
    assert load_model(tmp_path / "exported").name == "renamed"


@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz"])
def test_the_published_names_are_taken(run, tmp_path, name):
    with pytest.raises(ValueError, match=f"named {name} .* give another name=…"):
        export.export_checkpoint(run[0] / "checkpoints/last.ckpt", tmp_path / "exported", name)
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("part", ["encoder", "decoder", "codebook"])
def test_a_reload_that_differs_is_an_error(run, tmp_path, monkeypatch, part):
    def read_damaged(folder):
        model = read(folder)
        with torch.no_grad():
            if part == "codebook":
                model.quantizer.codebooks[1].embed.mul_(1.01)
            else:
                getattr(model, part).model[0].conv.conv.weight_g.mul_(1.5)
        return model

    read = formats.read_export
    monkeypatch.setattr(formats, "read_export", read_damaged)
    with pytest.raises(ValueError, match="the reloaded export of tiny differs from what was exported at"):
        export.export_checkpoint(run[0] / "checkpoints/last.ckpt", tmp_path / "exported")
    assert not list(tmp_path.iterdir())


def test_before_the_codebooks_start(noise_folder, tmp_path):
    settings = [*shrunk(noise_folder), "codec_training.codebook_learning.kmeans_vectors_per_code=1000"]
    settings += ["~callbacks.samples", "~callbacks.reporter", f"output_dir={tmp_path}"]
    train(compose("experiment=tiny", *settings))
    with pytest.raises(ValueError, match="step 2, before k-means has started the codebooks: train on"):
        export.export_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


CONTENTS = [None, b"", b"no checkpoint", b"\x80\x02e.", {"weights": 1}, [1], {"run_config": 1}]


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_not_a_checkpoint(tmp_path, content):
    file = tmp_path / "some.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(ValueError, match=r"no such file|some\.ckpt (is not a checkpoint|cannot be read)"):
        export.export_checkpoint(file, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_checkpoint_whose_weights_are_not_the_codecs(run, tmp_path):
    content = torch.load(run[0] / "checkpoints/last.ckpt", weights_only=True)
    del content["state_dict"]["average.codec.decoder.model.0.conv.conv.weight_v"]
    torch.save(content, tmp_path / "some.ckpt")
    with pytest.raises(ValueError, match=r"some\.ckpt is not a checkpoint of train\.py: .*weight_v"):
        export.export_checkpoint(tmp_path / "some.ckpt", tmp_path / "exported")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"run_config": Trap(tmp_path / "made")}, tmp_path / "some.ckpt")
    with pytest.raises(ValueError, match="cannot be read"):
        export.load_trained_codec(tmp_path / "some.ckpt")
    assert not (tmp_path / "made").exists()


def test_recipe(run, tmp_path):
    folder, module = run
    result = start_program(
        "recipes/export.py",
        f"checkpoint={folder / 'checkpoints/last.ckpt'}",
        "output=exported",
        "name=mine",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("exported mine (step 3) to exported")
    assert {path.name for path in tmp_path.iterdir()} == {"exported"}
    exported = load_model(tmp_path / "exported")
    torch.testing.assert_close(exported.state_dict(), module.average.codec.state_dict(), rtol=0, atol=0)


def test_recipe_for_transformers(run, run_script, tmp_path):
    folder, module = run
    checkpoint = f"checkpoint={folder / 'checkpoints/last.ckpt'}"
    assert run_script("recipes/export.py", checkpoint, "output=tiny", "format=transformers") == 0
    exported = load_model(tmp_path / "tiny")
    torch.testing.assert_close(exported.state_dict(), module.average.codec.state_dict(), rtol=0, atol=0)
    assert run_script("recipes/export.py", "codec=tiny", "output=mine", "name=mine") == 0
    assert load_model(tmp_path / "mine").config == dataclasses.replace(module.codec.config, name="mine")
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "mine"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["checkpoint=a", "codec=b", "output=exported"], "give one of checkpoint=FILE"),
        (["codec=nothing", "output=exported"], "no model 'nothing'"),
        (
            ["codec=nothing", "output=exported", "format=pickle"],
            "format must be one of folder, transformers, onnx",
        ),
        (["codec=nothing", "output=exported", "bandwidth=6"], "bandwidth=6 is for format=onnx"),
        (["checkpoint=nowhere.ckpt", "output=exported"], "checkpoint=nowhere.ckpt: there is no such file"),
        (["output=exported"], "checkpoint"),
        (["checkpoint=nowhere.ckpt", "output=exported", "nome=x"], "nome"),
    ],
)
def test_recipe_with_a_mistake(run_script, tmp_path, capsys, arguments, words):
    assert run_script("recipes/export.py", *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert not list(tmp_path.iterdir())
