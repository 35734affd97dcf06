"""How far an evaluation, or other work on many files, has come: a bar on a terminal, a line now and then elsewhere."""

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# Called with how many conditions or files are done, of how many, and the file of the last.
OnProgress = Callable[[int, int, str], None]

LINE_EVERY_S = 10.0


@contextmanager
def shown_progress(stream: TextIO | None = None, done: str = "evaluated") -> Iterator[OnProgress]:
    """Give a function to call after each condition, which shows how far things are.

    Args:
        stream: where to show it; None for standard error.
        done: what has been done to those that count.
    """
    stream = stream or sys.stderr
    if stream.isatty() and importlib.util.find_spec("rich") is not None:
        with _rich_bar(done, stream) as on_progress:
            yield on_progress
    else:
        yield _PlainLines(done, stream)


class _PlainLines:
    """At most a line every `LINE_EVERY_S` seconds, and one at the end."""

    def __init__(self, done: str, stream: TextIO) -> None:
        self._done = done
        self._stream = stream
        self._start_s = self._last_s = time.monotonic()
        self._num_before: int | None = None

    def __call__(self, num_done: int, num_all: int, file: str) -> None:
        now_s = time.monotonic()
        if self._num_before is None:
            self._num_before = num_done - 1
        if now_s - self._last_s < LINE_EVERY_S and num_done < num_all:
            return
        self._last_s = now_s
        left_s = (now_s - self._start_s) / (num_done - self._num_before) * (num_all - num_done)
        told = f", about {left_s / 60:.0f} min left" if left_s >= 60 else ""
        print(
            f"{self._done} {num_done:,} of {num_all:,}{told}; {Path(file).name}",
            file=self._stream,
            flush=True,
        )


@contextmanager
def _rich_bar(done: str, stream: TextIO) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[file]}"), console=Console(file=stream)) as progress:
        task = progress.add_task(done, total=None, file="")

        def on_progress(num_done: int, num_all: int, file: str) -> None:
            progress.update(task, completed=num_done, total=num_all, file=Path(file).name)

        yield on_progress
