"""Lines where there is no terminal, few of them; a bar where there is one."""

import io

import pytest

from encodec_lab.evaluation import progress
from encodec_lab.evaluation.progress import shown_progress


def test_plain_lines_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 20.0, 21.0, 22.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with shown_progress(stream) as on_progress:
        # One was known before.
        for num_done in (2, 3, 4, 13):
            on_progress(num_done, 13, "folder/a.wav")
    assert stream.getvalue().splitlines() == [
        "evaluated 3 of 13, about 2 min left; a.wav",
        "evaluated 13 of 13; a.wav",
    ]


def test_a_bar_on_a_terminal() -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with shown_progress(stream) as on_progress:
        on_progress(1, 2, "folder/a.wav")
        on_progress(2, 2, "folder/b.wav")
    assert "2/2" in stream.getvalue()
    assert "b.wav" in stream.getvalue()
