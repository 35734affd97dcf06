"""What the command says on standard error, and how it shows text that others wrote."""

import sys


def say(message: str) -> None:
    """Print one line, in the place of a progress bar if one stands there."""
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{start}encodec: {' '.join(message.split())}", file=sys.stderr)


def printable(text: str) -> str:
    """A name out of a stream or a file system, without line ends and what else a terminal would obey."""
    return text if text.isprintable() else ascii(text)
