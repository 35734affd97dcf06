"""Fetching Meta's files as the reference package makes them, from a server of our own; interrupted, and watched."""

import hashlib
import io
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from weights_server import WeightsServer

from encodec_lab.models import pretrained
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.language_model import ENCODEC_LM_48KHZ
from encodec_lab.models.lm_source import LMSource
from encodec_lab.models.pretrained import PUBLISHED_FILES, WeightsError
from encodec_lab.models.registry import load_model

# Run with the server's URL, the file's name and the names to load: a download in another process, that can be killed.
_DOWNLOAD = """
import sys
from encodec_lab.models import pretrained
pretrained.ROOT_URL, pretrained.PUBLISHED_FILES["encodec_48khz"] = sys.argv[1:]
pretrained.load_published_weights("encodec_48khz")
"""


def _saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def reference_files(reference_package: ModuleType) -> dict[str, bytes]:
    """What `torch.save` makes of the reference's 48 kHz codec and its language model, with random weights."""
    from encodec.model import LMModel

    torch.manual_seed(5)
    codec = reference_package.EncodecModel.encodec_model_48khz(pretrained=False)
    lm = LMModel(codec.quantizer.n_q, codec.quantizer.bins, past_context=ENCODEC_LM_48KHZ.past_context_frames)
    return {"encodec_48khz": _saved(codec.state_dict()), "encodec_lm_48khz": _saved(lm.state_dict())}


@pytest.fixture
def server(
    reference_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[WeightsServer]:
    """A server in Meta's place that holds both files under names with their hashes; the cache is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with WeightsServer() as server:
        for name, content in reference_files.items():
            file_name = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.th"
            monkeypatch.setitem(PUBLISHED_FILES, name, file_name)
            server.files[file_name] = content
        monkeypatch.setattr(pretrained, "ROOT_URL", server.url)
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "torch/hub/checkpoints"


def _is_the_reference(model: torch.nn.Module, content: bytes) -> bool:
    expected = torch.load(io.BytesIO(content), weights_only=True)
    return all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_codec_and_language_model_are_fetched(
    server: WeightsServer, cache: Path, reference_files: dict[str, bytes], tmp_path: Path
) -> None:
    codec = load_model("encodec_48khz")
    assert (codec.name, codec.training) == ("encodec_48khz", False)
    assert _is_the_reference(codec, reference_files["encodec_48khz"])
    assert server.num_requests == 1  # the language model waits until it is asked for
    assert _is_the_reference(codec.get_lm_model(), reference_files["encodec_lm_48khz"])
    assert server.num_requests == 2
    server.close()
    again = EncodecModel.encodec_model_48khz()
    assert _is_the_reference(again.get_lm_model(), reference_files["encodec_lm_48khz"])
    folder = tmp_path / "weights"
    cache.rename(folder)
    for model in (
        EncodecModel.encodec_model_48khz(repository=folder),
        load_model(folder / PUBLISHED_FILES["encodec_48khz"]),
    ):
        assert _is_the_reference(model, reference_files["encodec_48khz"])
        assert _is_the_reference(model.get_lm_model(), reference_files["encodec_lm_48khz"])
    (folder / PUBLISHED_FILES["encodec_lm_48khz"]).unlink()
    with pytest.raises(WeightsError, match="cannot download .*encodec_lm_48khz-.* put that file into"):
        load_model(folder / PUBLISHED_FILES["encodec_48khz"]).get_lm_model()


def test_a_language_model_that_is_not_the_published_one(server: WeightsServer, cache: Path) -> None:
    file_name = PUBLISHED_FILES["encodec_lm_48khz"]
    server.files[file_name] = server.files[PUBLISHED_FILES["encodec_48khz"]]
    with pytest.raises(WeightsError, match=f"cannot download .*{file_name} .*invalid hash value"):
        LMSource().get("encodec_48khz")
    assert not list(cache.iterdir())


def test_a_download_that_was_killed_is_begun_anew(
    server: WeightsServer, cache: Path, reference_files: dict[str, bytes]
) -> None:
    server.stall_at = len(reference_files["encodec_48khz"]) // 2
    command = [sys.executable, "-c", _DOWNLOAD, server.url, PUBLISHED_FILES["encodec_48khz"]]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        assert server.stalled.wait(timeout=120)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    server.stall_at = None
    server.go_on.set()
    assert not (cache / PUBLISHED_FILES["encodec_48khz"]).exists()
    assert _is_the_reference(load_model("encodec_48khz"), reference_files["encodec_48khz"])


@pytest.mark.parametrize("watched", [True, False])
def test_a_progress_bar_on_a_terminal_only(server: WeightsServer, watched: bool) -> None:
    reading, writing = pty.openpty() if watched else os.pipe()
    if watched:
        termios.tcsetwinsize(writing, (24, 100))
    command = [sys.executable, "-c", _DOWNLOAD, server.url, PUBLISHED_FILES["encodec_48khz"]]
    subprocess.run(command, stderr=writing, check=True)
    os.close(writing)
    shown = b""
    with os.fdopen(reading, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(4096):
                shown += piece
        except OSError:  # how a pseudo-terminal ends
            pass
    if watched:
        assert b"downloading http" in shown and b"100%" in shown, shown
    else:
        assert shown == b""
