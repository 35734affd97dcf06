"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it into place if the block ends well.

    Whatever stops the block, or the process, `path` holds its old content or all of the new.

    Raises:
        OSError: the rename fails; the block raises its own.
    """
    path = Path(path)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield staged
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)
