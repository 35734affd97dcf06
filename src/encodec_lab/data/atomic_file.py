"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A name may have 255 bytes, and a character four.
_NAME_CHARACTERS_KEPT = 40


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it into place if the block ends well.

    Whatever stops the block, or the process, `path` holds its old content or all of the new.

    Raises:
        OSError: the rename fails; the block raises its own.
    """
    path = Path(path)
    staged = hidden_beside(path, ".part")
    try:
        yield staged
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def hidden_beside(path: Path, suffix: str) -> Path:
    """A hidden path of its own in the same folder, which tells by the start of its name what it belongs to."""
    return path.with_name(f".{path.name[:_NAME_CHARACTERS_KEPT]}.{uuid.uuid4().hex}{suffix}")
