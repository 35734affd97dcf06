"""What a score depends on, as a key: while it is the same, the score need not be computed again."""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

# Whatever of the package has a say in what a system gives and how it is scored.
_CODE = (
    "entropy",
    "modules",
    "metrics",
    "data",
    "quantization",
    "models",
    "bitstream",
    "evaluation/anchors.py",
    "evaluation/baselines.py",
    "evaluation/evaluate.py",
    "evaluation/scored_metrics.py",
    "evaluation/transmission.py",
)
_PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "soundfile", "pesq", "pystoi")


def row_key(
    file: Sequence[object], system: str, bandwidth_kbps: float | None, sample_rate_hz: int, channels: int
) -> str:
    """A hash (32 hex digits) of a file's identity, a system's, and how they meet, code and packages included."""
    values = [*file, system, bandwidth_kbps, sample_rate_hz, channels, programs_identity()]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def file_identity(path: str | Path) -> tuple[str, int, int]:
    """Where a file lies, its size, and when it was written, in ns; OSError if it is missing."""
    path = Path(path).absolute()
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def identity_tag(identity: str) -> str:
    """8 hex digits of the whole of a system's identity, to tell systems of one name apart by."""
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


@functools.cache
def programs_identity() -> str:
    """Changes with the code and the packages that scores come from."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for part in _CODE:
        path = root / part
        for source in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    for package in _PACKAGES:
        digest.update(f"{package} {package_version(package)}\n".encode())
    return digest.hexdigest()


def package_version(name: str) -> str:
    """The version of an installed package, or "none"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
