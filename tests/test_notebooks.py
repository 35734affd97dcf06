"""The notebooks run from top to bottom and show what they promise; in the repository they hold no outputs."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from notebook_runs import NOTEBOOKS, execute, prepare_clone, read, shown
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.models.export_folder import write_export

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Quick, with codebooks that k-means can start at once.
FEW_STEPS = [
    "model.codebook_size=16",
    "model.bandwidths=[0.3,0.6]",
    "codec_training.unquantized_steps=0",
    "data.batch_size=2",
    "data.valid_max_s=1",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
]
FEW_LM_STEPS = ["data.num_workers=0", "trainer.max_steps=4", "trainer.val_check_interval=4"]
HTML, PNG = "text/html", "image/png"


@pytest.fixture
def clone(tmp_path: Path, carried_audio: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the notebooks, shrunk, and without any codec but a small one under its own name."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    clips = [str(min((carried_audio / "test" / domain).iterdir())) for domain in ("music", "speech")]
    small = f"CODEC = 'outputs/small'\nCLIPS = {clips}\n"
    parameters = {
        "01_quick_start": "CODEC = 'not there'",
        "02_train_a_tiny_codec": f"OPTIONS += {FEW_STEPS}",
        "03_rate_distortion": small + "OPUS_KBPS = [12]",
        "04_codes_and_language_model": small + f"COUNTED = CLIPS\nLM_OPTIONS += {FEW_LM_STEPS}",
    }
    folder = tmp_path / "clone"
    folder.mkdir()
    prepare_clone(folder, parameters)
    write_export(folder / "outputs/small", random_codec(SMALL_24KHZ), {}, "a small codec")
    return folder


def run(clone: Path, stem: str) -> Any:
    return execute(clone / f"notebooks/{stem}.ipynb")


def num_players(notebook: Any) -> int:
    return sum("<audio" in html for html in shown(notebook, HTML))


def test_there_are_four() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == ["01_", "02_", "03_", "04_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_run_is_kept(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata == METADATA
    for cell in notebook.cells:
        assert cell.metadata in ({}, {"tags": ["parameters"]})
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id), (
            "names that stay, so that a diff shows what changed"
        )
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
def test_quick_start_trains_a_codec_where_there_is_none(clone: Path) -> None:
    """By notebook 02, which is thereby run too."""
    notebook = run(clone, "01_quick_start")
    assert (clone / "outputs/notebooks/codec/config.json").is_file()
    assert num_players(notebook) == 4  # two are of notebook 02
    assert len(shown(notebook, PNG)) == 2
    text = "".join(shown(notebook, "text"))
    assert re.search(r"outputs/notebooks/codec: tiny, .* 24 kHz mono, causal, 0\.3, 0\.6 kbps", text)
    sizes = [int(size) for size in re.findall(r"kbps: (\d+) bytes of 284,121, SI-SNR", text)]
    assert len(sizes) == 2
    assert 1.5 < sizes[1] / sizes[0] < 2.1


@pytest.mark.slow
def test_training_is_watched_and_heard(clone: Path) -> None:
    notebook = run(clone, "02_train_a_tiny_codec")
    (charts,) = (html for html in shown(notebook, HTML) if "srcdoc" in html)
    for title in ("SI-SNR on the validation clips", "Reconstruction losses", "Entries in use"):
        assert title in charts
    assert num_players(notebook) == 2


@pytest.mark.slow
def test_rate_distortion_beside_opus(clone: Path) -> None:
    if any(shutil.which(program) is None for program in ("opusenc", "opusdec")):
        pytest.skip("opusenc and opusdec are not installed")
    notebook = run(clone, "03_rate_distortion")
    text = "".join(shown(notebook, "text"))
    assert "without" not in text
    assert len(re.findall(r"^music .* opus +12 +1\d\.", text, re.MULTILINE)) == 1
    (charts,) = (html for html in shown(notebook, HTML) if "srcdoc" in html)
    for label in ("SI-SNR", "Mel distance", "PESQ", "STOI", "small_24khz", "opus", "low-pass 3.5 kHz"):
        assert label in charts
    assert num_players(notebook) == len(SMALL_24KHZ.bandwidths) + 1 + 2


@pytest.mark.slow
def test_rate_distortion_names_opus_where_it_is_not_installed(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    notebook = run(clone, "03_rate_distortion")
    assert "without opus: opusenc and opusdec not installed" in "".join(shown(notebook, "text"))
    assert num_players(notebook) == len(SMALL_24KHZ.bandwidths) + 2


@pytest.mark.slow
def test_codes_and_language_model(clone: Path) -> None:
    """Of a codec without a language model: one is trained."""
    notebook = run(clone, "04_codes_and_language_model")
    usage, by_count, bits = (html for html in shown(notebook, HTML) if "srcdoc" in html)
    num_codebooks = SMALL_24KHZ.num_codebooks
    assert usage.count("% used, perplexity") == 2 * num_codebooks
    assert by_count.count("SI-SNR, dB: ") == by_count.count("mel distance: ") == num_codebooks
    assert bits.count("fixed table: ") == bits.count("language model: ") == num_codebooks
    assert num_players(notebook) == 4
    saved = re.findall(r"with the language model \(([+-].*)%\)", "".join(shown(notebook, "text")))
    assert len(saved) == len(SMALL_24KHZ.bandwidths)
