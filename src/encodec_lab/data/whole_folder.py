"""Folders that appear whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write to, and rename it into place if the block ends well.

    Missing parents are made. Nothing is ever replaced but an empty folder.

    Raises:
        ValueError: the place is taken.
        OSError: the rename fails; the block raises its own.
    """
    folder = Path(folder).absolute()
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise ValueError(f"{folder} exists and is no empty folder; choose another place, or clear it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    staged.mkdir()
    try:
        yield staged
        os.replace(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
