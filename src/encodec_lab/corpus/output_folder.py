"""The folder that a corpus is encoded into: what made it, what is done, and what has failed."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from encodec_lab.corpus.encode_task import ECDC_SUFFIX
from encodec_lab.corpus.inputs import ArraySlot
from encodec_lab.data.atomic_file import atomic_file
from encodec_lab.data.code_shards import CODES_FORMAT, CORPUS_FILE, read_code_index, read_description


class OutputFolder:
    """A folder and its books.

    The outputs themselves tell what is done. Each job of an array adds the inputs that failed to a file of its own,
    `failures-K-of-N.jsonl`, a line {"path", "reason"} for each.

    Args:
        folder: is made if it is missing.
        slot: of this job.
    """

    def __init__(self, folder: Path, slot: ArraySlot) -> None:
        self.folder = folder
        self._slot = slot
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def failures_file(self) -> Path:
        """Where this job's failures are listed."""
        return self.folder / f"failures-{self._slot}.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from doing this slot's work at the same time; ValueError if one is at it."""
        with (self.folder / f".lock-{self._slot}").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"{self.folder}: another run is writing here; wait for it or stop it"
                ) from error
            self._remove_unfinished()
            try:
                yield
            finally:
                self._remove_unfinished()

    def claim(self, description: Mapping[str, Any]) -> None:
        """Write what makes the outputs, or see that it is what made those that are there.

        Raises:
            ValueError: the folder holds outputs of another codec, bandwidth or format.
        """
        found = read_description(self.folder)
        if found is None:
            with atomic_file(self.folder / CORPUS_FILE) as staged:
                staged.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
            return
        asked = json.loads(json.dumps(description))
        if different := sorted(
            key for key in asked.keys() | found.keys() if asked.get(key) != found.get(key)
        ):
            raise ValueError(
                f"{self.folder} was encoded with another {', '.join(different)} (see {CORPUS_FILE}); "
                "choose another folder"
            )

    def done(self, format: str) -> set[str]:
        """The names of the inputs whose outputs are in place. ValueError for a damaged index."""
        if format == CODES_FORMAT:
            return {entry.path for entries in read_code_index(self.folder).values() for entry in entries}
        streams = self.folder.rglob(f"*{ECDC_SUFFIX}")
        return {
            path.relative_to(self.folder).as_posix().removesuffix(ECDC_SUFFIX)
            for path in streams
            if not path.name.startswith(".")
        }

    def failures(self) -> dict[str, str]:
        """The reasons why inputs have failed, in whichever job; some may have been encoded since."""
        reasons = {}
        for path in sorted(self.folder.glob("failures-*.jsonl")):
            for line in path.read_text(encoding="ascii").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # cut by a kill: that input is tried again
                    continue
                reasons[str(entry["path"])] = str(entry["reason"])
        return reasons

    def write_failures(self, reasons: Mapping[str, str]) -> None:
        """Replace this job's list."""
        if reasons or self.failures_file.exists():
            with atomic_file(self.failures_file) as staged, staged.open("w", encoding="ascii") as file:
                file.writelines(_failure_line(name, reason) for name, reason in reasons.items())

    def add_failure(self, name: str, reason: str) -> None:
        """Add one to this job's list."""
        with self.failures_file.open("a", encoding="ascii") as file:
            file.write(_failure_line(name, reason))

    def _remove_unfinished(self) -> None:
        """What processes that were killed have left half written; other jobs of an array may be writing theirs."""
        if self._slot.size > 1:
            return
        for path in self.folder.rglob(".*.part"):
            path.unlink(missing_ok=True)


def _failure_line(name: str, reason: str) -> str:
    return json.dumps({"path": name, "reason": reason}) + "\n"
