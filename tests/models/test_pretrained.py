"""Published weights: from a server, from a folder, and one clear error when they cannot be had."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from weights_server import WeightsServer

from encodec_lab.models import pretrained
from encodec_lab.models.encodec import EncodecModel
from encodec_lab.models.pretrained import PUBLISHED_FILES, WeightsError, load_published_weights, load_tensors

STATE = {"weight": torch.arange(4.0)}


def _saved(content: object = STATE) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WeightsServer]:
    """The server in Meta's place, holding a right file, with an empty cache of torch.hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with WeightsServer() as server:
        file_name = f"encodec_24khz-{hashlib.sha256(_saved()).hexdigest()[:8]}.th"
        monkeypatch.setitem(PUBLISHED_FILES, "encodec_24khz", file_name)
        monkeypatch.setattr(pretrained, "ROOT_URL", server.url)
        server.files[file_name] = _saved()
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "torch/hub/checkpoints"


def test_the_published_files() -> None:
    assert pretrained.ROOT_URL == "https://dl.fbaipublicfiles.com/encodec/v0/"
    assert list(PUBLISHED_FILES.values()) == [
        "encodec_24khz-d7cc33bc.th",
        "encodec_48khz-7e698e3e.th",
        "encodec_lm_24khz-1608e3c0.th",
        "encodec_lm_48khz-7add9fc3.th",
    ]


def test_download_once_then_from_the_cache(
    server: WeightsServer, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert torch.equal(load_published_weights("encodec_24khz")["weight"], STATE["weight"])
    assert [path.name for path in cache.iterdir()] == [PUBLISHED_FILES["encodec_24khz"]]
    server.close()
    assert torch.equal(load_published_weights("encodec_24khz")["weight"], STATE["weight"])
    assert server.num_requests == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["wrong hash", "cut short", "404", "server gone"])
def test_what_cannot_be_downloaded(server: WeightsServer, cache: Path, fault: str) -> None:
    file_name = PUBLISHED_FILES["encodec_24khz"]
    if fault == "wrong hash":
        server.files[file_name] = _saved({"weight": torch.zeros(1)})
    elif fault == "cut short":
        server.num_bytes_kept_back = 1
    elif fault == "404":
        server.files.clear()
    else:
        server.close()
    with pytest.raises(WeightsError) as caught:
        load_published_weights("encodec_24khz")
    message = str(caught.value)
    assert f"cannot download {server.url}{file_name}" in message
    assert f"put that file into {cache}" in message
    assert "repository=FOLDER" in message
    assert "\n" not in message
    assert not list(cache.iterdir())  # nothing that the next call would take for the file


def test_a_damaged_cache_entry_is_not_used(server: WeightsServer, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / PUBLISHED_FILES["encodec_24khz"]).write_bytes(_saved()[:-1])
    with pytest.raises(WeightsError, match=r"damaged or another file.*delete it"):
        load_published_weights("encodec_24khz")


def test_a_cache_that_cannot_be_written(server: WeightsServer, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.touch()
    with pytest.raises(WeightsError, match="cannot download"):
        load_published_weights("encodec_24khz")


def test_repository(server: WeightsServer, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    with pytest.raises(WeightsError, match=r"weights' has no file encodec_24khz-.{8}.th; put http"):
        load_published_weights("encodec_24khz", folder)
    folder.mkdir()
    path = folder / PUBLISHED_FILES["encodec_24khz"]
    path.write_bytes(_saved())
    assert torch.equal(load_published_weights("encodec_24khz", str(folder))["weight"], STATE["weight"])
    path.write_bytes(_saved({"weight": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="damaged or another file"):
        load_published_weights("encodec_24khz", folder)
    assert server.num_requests == 0


def test_the_model_says_it_too(server: WeightsServer) -> None:
    server.close()
    with pytest.raises(WeightsError, match="cannot download"):
        EncodecModel.encodec_model_24khz()


def test_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="no weights were published as 'encodec_16khz'; there are encodec_24khz"
    ):
        load_published_weights("encodec_16khz")


class _Executes:
    """Unpickling this writes a file: what a hostile `.th` does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle",
        b"\x80\x02e.",  # torch raises an IndexError
        b"PK\x03\x04",
        _saved()[:-40],
        _saved([1]),
        _saved({"a": 1}),
    ],
)
def test_files_that_are_no_state_dict(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.th"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"file.th (cannot be read as a PyTorch file|holds no state dict)"):
        load_tensors(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "file.th", tmp_path / "trace"
    path.write_bytes(_saved({"weight": _Executes(trace)}))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_tensors(path)
    assert not trace.exists()
