"""What kind of audio a file holds, told from where it lies."""

from pathlib import Path

_SPLIT_NAMES = ("train", "valid", "test")


def domain_of(path: str | Path) -> str:
    """The name of the nearest folder above that is not the name of a split, such as "speech" of `speech/test/a.wav`."""
    for folder in Path(path).absolute().parents:
        if folder.name not in _SPLIT_NAMES:
            return folder.name or "all"
    return "all"
