"""Folders that appear whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from encodec_lab.data.atomic_file import hidden_beside


@contextmanager
def atomic_folder(
    folder: str | Path, check_replaceable: Callable[[Path], None] | None = None, resumable: bool = False
) -> Iterator[Path]:
    """Give an empty folder beside `folder` to write to, and rename it into place if the block ends well.

    Missing parents are made. An empty folder is replaced, and one that `check_replaceable` lets pass. That takes two
    renames: a process that is killed between them leaves nothing at the place, and the earlier folder beside it, whole,
    as `.NAME.….old`. Whatever else stops the block leaves or puts back the earlier folder.

    Args:
        folder: the place.
        check_replaceable: raises ValueError for a folder, not empty, that must stay; None lets every such one stay.
        resumable: give the same folder, `.NAME.part`, every time, with what an earlier block that failed, or a process
            that was killed, has left in it.

    Raises:
        ValueError: the place is taken.
        OSError: a rename fails; the block raises its own.
    """
    folder = Path(folder).absolute()
    _check_free(folder, check_replaceable)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = folder.with_name(f".{folder.name}.part") if resumable else hidden_beside(folder, ".part")
    staged.mkdir(exist_ok=resumable)
    try:
        yield staged
        _put_in_place(staged, folder)
    finally:
        if not resumable:
            shutil.rmtree(staged, ignore_errors=True)


def _check_free(folder: Path, check_replaceable: Callable[[Path], None] | None) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and not folder.is_symlink():
        if not any(folder.iterdir()):
            return
        if check_replaceable is not None:
            check_replaceable(folder)
            return
    raise ValueError(f"{folder} exists and is no empty folder; choose another place, or clear it")


def _put_in_place(staged: Path, folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        os.replace(staged, folder)
        return
    aside = hidden_beside(folder, ".old")
    os.rename(folder, aside)
    try:
        os.replace(staged, folder)
    except BaseException:
        os.rename(aside, folder)
        raise
    shutil.rmtree(aside)
