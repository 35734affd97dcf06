"""Whatever ends the command, and whenever: an output is the old one or all of the new one."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.forked_command import ForkedCommands
from small_codec import random_wav

from encodec_lab.data.audio_file import write_wav

NUM_FILES = 12
NUM_KILLS = 5  # for each direction


@pytest.fixture(scope="module")
def commands() -> Iterator[ForkedCommands]:
    with ForkedCommands() as commands:
        yield commands


class Work:
    """Many files to be turned into others, over outputs that exist."""

    def __init__(
        self, commands: ForkedCommands, folder: Path, mono_export: Path, decompressing: bool
    ) -> None:
        self.commands = commands
        self.outputs = folder / "out"
        self.stderr = folder / "stderr.txt"
        sources = folder / "audio"
        sources.mkdir()
        for number in range(NUM_FILES):
            write_wav(sources / f"{number}.wav", random_wav(1, 9_000, seed=number), 24_000)
        self.arguments = ("-f", "--model", mono_export, "--output-dir")
        if decompressing:
            self.start(folder / "streams", sources)
            assert commands.end() == 0
            sources = folder / "streams"
        self.sources = sources
        start_s = time.monotonic()
        self.start()
        assert commands.end() == 0
        self.duration_s = time.monotonic() - start_s
        self.new = self.read()
        assert len(self.new) == NUM_FILES

    def start(self, outputs: Path | None = None, sources: Path | None = None) -> None:
        paths = (outputs or self.outputs, sources or self.sources)
        self.commands.start(self.stderr, *self.arguments, *paths)

    def read(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.outputs.iterdir() if not _is_hidden_part(path)}

    def wait_for(self, num_new: int) -> None:
        """Until so many outputs are new."""
        deadline_s = time.monotonic() + 60
        while sum(not content.startswith(b"old") for content in self.read().values()) < num_new:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)

    def put_old(self) -> dict[str, bytes]:
        for name in self.new:
            (self.outputs / name).write_bytes(b"old " + name.encode())
        return self.read()


def _is_hidden_part(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".part")


@pytest.fixture(params=[False, True], ids=["compressing", "decompressing"])
def work(commands: ForkedCommands, tmp_path: Path, mono_export: Path, request: pytest.FixtureRequest) -> Work:
    return Work(commands, tmp_path, mono_export, request.param)


def test_killed_at_any_moment(work: Work) -> None:
    draws = random.Random(0)
    num_changed = []
    for _ in range(NUM_KILLS):
        old = work.put_old()
        work.start()
        work.wait_for(draws.randrange(NUM_FILES))
        time.sleep(draws.uniform(0.0, 1.0) * work.duration_s / NUM_FILES)
        assert work.commands.end(signal.SIGKILL) in (0, -signal.SIGKILL)
        found = work.read()
        assert found.keys() == old.keys()
        for name, content in found.items():
            assert content in (old[name], work.new[name]), name
        num_changed.append(sum(found[name] != old[name] for name in found))
    assert any(0 < changed < NUM_FILES for changed in num_changed), num_changed


def test_interrupted_from_the_keyboard(work: Work) -> None:
    old = work.put_old()
    work.start()
    work.wait_for(1)
    assert work.commands.end(signal.SIGINT) == 130
    assert work.stderr.read_text() == "encodec: interrupted\n"
    found = work.read()
    assert all(content in (old[name], work.new[name]) for name, content in found.items())
    assert sorted(path.name for path in work.outputs.iterdir()) == sorted(old)  # no part is left
