"""The layout is the architecture: who may import whom, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src/encodec_lab"

# A file imports from its own layer and from those of a lower rank.
RANKS = {
    "types": 0,
    "entropy": 0,
    "modules": 1,
    "metrics": 2,
    "data": 2,
    "quantization": 3,
    "discriminators": 3,
    "losses": 3,
    "models": 4,
    "bitstream": 5,
    "compat": 5,
    "evaluation": 6,
    "cli": 7,
    "corpus": 7,
    "training": 7,
}
# The package's front door and `python -m encodec_lab` may import anything but training.
FRONT = ("__init__", "__main__")
TRAINING_ONLY = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "wandb"}
LONGEST_FILE = 320
LONGEST_RECIPE = 60
VAGUE_NAMES = {"utils", "helpers", "misc", "common"}


def _python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Absolute dotted names that a file imports, wherever in it; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_there_are_files_to_look_at() -> None:
    assert len(_python_files(SOURCE)) > 40


@pytest.mark.parametrize("path", _python_files(SOURCE), ids=_name)
def test_imports_go_down_only(path: Path) -> None:
    layer = _layer(path)
    assert layer in RANKS or layer in FRONT, f"{layer} is in no layer: give it a rank"
    for imported in _imports(path):
        parts = imported.split(".")
        if parts[0] != "encodec_lab":
            continue
        other = parts[1] if len(parts) > 1 else ""
        if layer in FRONT:
            assert other != "training", f"{_name(path)} imports {imported}"
        else:
            assert other in RANKS, (
                f"{_name(path)} imports {imported}: not a layer (the front door is for users)"
            )
            assert other == layer or RANKS[other] < RANKS[layer], f"{_name(path)} imports {imported}: upwards"


@pytest.mark.parametrize("path", _python_files(SOURCE), ids=_name)
def test_only_training_knows_the_training_libraries(path: Path) -> None:
    roots = {imported.split(".")[0] for imported in _imports(path)}
    if _layer(path) != "training":
        assert not roots & TRAINING_ONLY
    if path != SOURCE / "modules/signal.py":
        assert "torchaudio" not in roots
    assert not roots & {"recipes", "train", "tests"}


@pytest.mark.parametrize(
    "path", _python_files(SOURCE, REPOSITORY / "recipes", REPOSITORY / "tests"), ids=_name
)
def test_files_are_short_and_named_for_what_they_hold(path: Path) -> None:
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= LONGEST_FILE
    if path.parent == REPOSITORY / "recipes":
        assert num_lines < LONGEST_RECIPE
    assert path.stem not in VAGUE_NAMES


def test_the_training_entry_point_is_thin() -> None:
    assert len((REPOSITORY / "train.py").read_text(encoding="utf-8").splitlines()) < LONGEST_RECIPE


@pytest.mark.parametrize(
    "folder", sorted(path for path in (REPOSITORY / "tests").iterdir() if path.is_dir()), ids=_name
)
def test_tests_mirror_the_tree(folder: Path) -> None:
    """`tests/LAYER/` tests `src/encodec_lab/LAYER/`; `tests/recipes/` and the like test what is beside the package."""
    if folder.name not in ("__pycache__", "fuzz"):  # fuzz goes for bitstream/ and cli/ together
        assert (SOURCE / folder.name).is_dir() or (REPOSITORY / folder.name).is_dir()
