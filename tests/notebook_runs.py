"""Notebooks executed in a folder that looks like a clone, so that what they write is not in this one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

REPOSITORY = Path(__file__).parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
LINKED = ("train.py", "configs", "recipes")


def prepare_clone(folder: Path, parameters: Mapping[str, str]) -> None:
    """Link programs and configurations into `folder`, and copy the notebooks with other parameters.

    Args:
        folder: that becomes the clone; empty.
        parameters: by the notebook's stem, a cell to put behind the one that is tagged so.
    """
    for name in LINKED:
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "notebooks").mkdir()
    for path in NOTEBOOKS:
        notebook = read(path)
        (place,) = [
            index
            for index, cell in enumerate(notebook.cells)
            if "parameters" in cell.metadata.get("tags", ())
        ]
        source = parameters.get(path.stem, "")
        for name in re.findall(r"^(\w+) \+?=", source, re.MULTILINE):
            assert f"{name} =" in notebook.cells[place].source, f"{path.name} has no parameter {name}"
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))
        nbformat.write(notebook, folder / "notebooks" / path.name)


def execute(path: Path, timeout_s: float = 600) -> Any:
    """Run all cells as Jupyter does, in the notebook's folder; returns it with outputs.

    Raises:
        CellExecutionError: a cell raised.
    """
    notebook = read(path)
    client = NotebookClient(notebook, timeout=timeout_s, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    return notebook


def read(path: Path) -> Any:
    """The notebook, as format 4."""
    return nbformat.read(path, as_version=4)


def shown(notebook: Any, kind: str) -> list[str]:
    """What the cells show, in order: the data of one MIME type, or with "text" what they print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    if kind == "text":
        return [output.text for output in outputs if output.output_type == "stream"]
    return [output.data[kind] for output in outputs if kind in output.get("data", ())]
