"""Metrics in a CSV file that a resumed run goes on with."""

import csv
from pathlib import Path

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from encodec_lab.data.atomic_file import atomic_file

METRICS_FILE = "metrics.csv"


class LocalLogger(CSVLogger):
    """Lightning's CSV logger in `folder/metrics.csv`, except that it appends to a file that is there."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, name="", version="")

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer; Lightning's would delete an earlier file when it is made."""
        if not isinstance(self._experiment, ExperimentWriter):
            path = Path(self.log_dir) / METRICS_FILE
            earlier = path.read_text() if path.is_file() else None
            writer = ExperimentWriter(log_dir=self.log_dir)
            if earlier:
                path.write_text(earlier)
                writer.metrics_keys = next(csv.reader(earlier.splitlines()))
            self._experiment = writer
        return self._experiment


def drop_metrics_from(path: Path, step: int) -> None:
    """Remove the rows of generator step `step` and later, which a run resumed there will write again.

    Rows that are not whole go, too: a process may have been killed while it wrote.
    """
    if not path.is_file():
        return
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if "step" not in header:
        path.unlink()
        return
    column = header.index("step")
    with atomic_file(path) as staged, staged.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            row for row in rows if len(row) == len(header) and row[column] and int(float(row[column])) < step
        )
