"""A progress bar over several files, for people who watch: on a terminal, and for work that takes a while."""

import sys
import time
from types import TracebackType
from typing import Self

SHOWN_AFTER_S = 2.0
_WIDTH = 30


class ProgressBar:
    """A bar on standard error; shows nothing unless that is a terminal, there are several items, and time passes."""

    def __init__(self, num_items: int) -> None:
        self._num_items = num_items
        self._enabled = num_items > 1 and sys.stderr.isatty()
        self._start_s = time.monotonic()
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, num_done: int, label: str) -> None:
        """Draw the bar with `num_done` items done; `label` says which one is next."""
        if not self._enabled or time.monotonic() - self._start_s < SHOWN_AFTER_S:
            return
        filled = _WIDTH * num_done // self._num_items
        bar = "#" * filled + "." * (_WIDTH - filled)
        print(
            f"\r\x1b[K[{bar}] {num_done}/{self._num_items} {label[-40:]}", end="", file=sys.stderr, flush=True
        )
        self._drawn = True

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False
