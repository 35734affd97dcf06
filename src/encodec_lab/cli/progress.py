"""A progress bar for people who watch: on a terminal, and for work that takes a while."""

import sys
import time
from types import TracebackType
from typing import Self

SHOWN_AFTER_S = 2.0
_WIDTH = 30
_MIN_INTERVAL_S = 0.1


class ProgressBar:
    """A bar on standard error; shows nothing unless that is a terminal, and time passes."""

    def __init__(self, num_items: int) -> None:
        self._num_items = num_items
        self._enabled = sys.stderr.isatty()
        self._start_s = time.monotonic()
        self._last_s = 0.0
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, num_done: float, label: str) -> None:
        """Draw the bar with `num_done` items done, fractions included; `label` says which one is at work."""
        now_s = time.monotonic()
        if (
            not self._enabled
            or now_s - self._start_s < SHOWN_AFTER_S
            or now_s - self._last_s < _MIN_INTERVAL_S
        ):
            return
        self._last_s = now_s
        share = min(1.0, num_done / self._num_items)
        filled = int(_WIDTH * share)
        bar = "#" * filled + "." * (_WIDTH - filled)
        count = f" {int(num_done)}/{self._num_items}" if self._num_items > 1 else ""
        print(
            f"\r\x1b[K[{bar}] {100 * share:.0f} %{count} {label[-40:]}", end="", file=sys.stderr, flush=True
        )
        self._drawn = True

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = False
