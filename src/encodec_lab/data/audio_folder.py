"""Audio files below a folder, told by their suffixes; nothing here imports torch, so that the command line can ask."""

import os
from collections.abc import Sequence
from pathlib import Path

AUDIO_SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")


def find_below(
    folder: Path, suffixes: Sequence[str] = AUDIO_SUFFIXES, left_out: Path | None = None
) -> list[Path]:
    """The files below `folder` with one of these suffixes, hidden ones left out, sorted by their path below it.

    Linked folders are followed, since that is how large sets are put together; each one once, since links can circle.

    Args:
        folder: where to search, at any depth.
        suffixes: in lower case; those of the files may be in either.
        left_out: a folder within `folder` not to search; without effect if it is another.

    Raises:
        OSError: a folder cannot be read.
    """
    found: list[Path] = []
    seen = set() if left_out is None else {os.path.realpath(left_out)} - {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes
        ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _raise(error: OSError) -> None:
    raise error
