"""What the README shows works: its Python runs, its commands parse, its tree is the tree."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from small_codec import SMALL_24KHZ, random_codec

from encodec_lab.cli.arguments import parse_arguments
from encodec_lab.corpus.encode_corpus import encode_corpus, prepare_encoding
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.corpus.workers import task_runner
from encodec_lab.models.export_folder import write_export

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TREE_FOLDERS = ("src/encodec_lab", "recipes")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("bash") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_first_screen_has_the_two_set_up_commands() -> None:
    first_screen = "\n".join(TEXT.splitlines()[:20])
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_python_runs(carried_audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks in turn, in one namespace, in a folder that looks as after the demo."""
    codec = random_codec(SMALL_24KHZ)
    write_export(tmp_path / "outputs/demo/codec", codec, {}, "a small codec")
    shutil.copy(carried_audio / "test/speech/en_ljspeech_f_02.flac", tmp_path / "speech.wav")
    monkeypatch.chdir(tmp_path)
    settings, description = prepare_encoding(
        "outputs/demo/codec", "outputs/speech_codes", "codes", None, False, "cpu"
    )
    local = task_runner("local", 0, None, "cpu")
    encode_corpus("speech.wav", settings, description, ArraySlot(0, 1), local, 1)
    namespace: dict[str, object] = {}
    blocks = _blocks("python")
    assert len(blocks) >= 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["data"][:4] == b"ECDC"
    assert namespace["tokens"].shape[0] == codec.config.num_codebooks


@pytest.mark.parametrize("command", [line for line in _commands() if line[0] == "encodec"], ids=shlex.join)
def test_commands_of_the_codec_parse(command: list[str]) -> None:
    arguments = parse_arguments(command[1:])
    assert arguments.inputs


@pytest.mark.parametrize("command", [line for line in _commands() if line[0] != "encodec"], ids=shlex.join)
def test_other_commands_name_what_exists(command: list[str]) -> None:
    if command[0] == "make":
        assert re.search(rf"^{command[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    elif command[0] == "python":
        assert (REPOSITORY / command[1]).is_file()
        for experiment in re.findall(r"experiment=(\w+)", " ".join(command)):
            assert (REPOSITORY / f"configs/experiment/{experiment}.yaml").is_file()
    else:
        assert command[0] == "pip"


def test_every_experiment_is_in_the_table() -> None:
    experiments = {path.stem for path in (REPOSITORY / "configs/experiment").glob("*.yaml")}
    assert experiments == set(re.findall(r"^\| `(\w+)` \| .*$", TEXT.split("## Train")[1], re.MULTILINE))


def test_shell_blocks_are_valid_shell() -> None:
    for block in _blocks("bash"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_links_within_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (REPOSITORY / target).exists()


def test_the_tree_has_a_line_for_each_file() -> None:
    (tree,) = _blocks("text")
    listed, folders = set(), []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        folders[depth:] = [line.split()[0].rstrip("/")]
        listed.add("/".join(folders))
    expected = {
        str(path.relative_to(REPOSITORY))
        for folder in TREE_FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert expected <= listed
    for entry in listed:
        assert (REPOSITORY / entry).exists(), f"{entry} is in the README's tree only"
