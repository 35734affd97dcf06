"""The command in processes that can be killed; they are forked, so that torch is imported once for all."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType

_SERVER = """
import json, os, sys
import torch
from encodec_lab.cli import main, transcode
torch.set_num_threads(1)
while line := sys.stdin.readline():
    arguments, stderr = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        status = main.main(arguments)
        sys.stderr.flush()
        os._exit(status)
    print("started", flush=True)
    os.kill(pid, int(sys.stdin.readline()))  # before it is waited for, so the id is still its own
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class ForkedCommands:
    """Starts one command after the other; a context manager."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "ForkedCommands":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(self, stderr: Path, *arguments: object) -> None:
        """Begin a command."""
        assert self._server.stdout is not None
        self._send(json.dumps([[str(argument) for argument in arguments], str(stderr)]))
        assert self._server.stdout.readline() == "started\n"

    def end(self, signal: int = 0) -> int:
        """Send the command a signal, or none, and wait for it; its exit status, or minus the signal that ended it."""
        assert self._server.stdout is not None
        self._send(str(int(signal)))
        return int(self._server.stdout.readline())

    def _send(self, line: str) -> None:
        assert self._server.stdin is not None
        print(line, file=self._server.stdin, flush=True)
