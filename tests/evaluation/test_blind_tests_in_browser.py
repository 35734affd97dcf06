"""Blind tests on the page: no version can be told but by ear, and answers are counted, kept and saved with names."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from headless_browser import BROWSER, Page
from listening_page import NAMES, RECORDINGS, names_by_sound

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def _fill(page: Page, values: dict[str, Any]) -> None:
    """Set fields as a reader would."""
    for selector, value in values.items():
        page.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, { bubbles: true })); })()"
        )


def _begin_abx(page: Page, num_trials: int) -> None:
    """Between "lab 6 kbps" (A) and "opus 6 kbps" (B) of the second recording."""
    _fill(page, {"[name=example]": "1", "[name=trials]": num_trials, "[name=seed]": 7})
    _fill(page, {"[name=a]": "2", "[name=b]": "3"})
    page.click(".start")
    page.wait_until("document.querySelector('.answer') !== null")


def _answer_abx(page: Page, rightly: bool) -> None:
    """By ear: X sounds like one of the two."""
    *pair, x = names_by_sound(page)
    assert pair == ["lab 6 kbps", "opus 6 kbps"]
    is_b = (x == pair[1]) == rightly
    page.click(f"[data-answer={'b' if is_b else 'a'}]")


def _saved(page: Page, folder: Path) -> dict[str, Any]:
    """What the page hands over as a file."""
    page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click("button.save")
    deadline = time.monotonic() + 60
    while not (files := list(folder.glob("*.json"))):
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.05)
    saved: dict[str, Any] = json.loads(files[0].read_text(encoding="utf-8"))
    return saved


def _assert_blind(page: Page) -> None:
    """Nothing that can be seen, read aloud or inspected in the test's window tells a version."""
    html = page.run("document.querySelector('dialog').outerHTML")
    for word in ("lab", "opus", "low-pass", "original", "kbps", "data:", "blob:"):
        assert not re.search(rf"\b{word}\b(?!el)", html), word
    assert page.run("getComputedStyle(document.querySelector('main')).display") == "none"
    assert page.run("document.querySelectorAll('audio, #listening').length") == 0


def test_a_hidden_field_does_not_keep_a_test_from_starting(page: Page) -> None:
    _fill(page, {"[name=trials]": "0"})
    page.click(".start")
    assert page.run("document.querySelector('dialog') === null")
    page.click("[name=kind][value=rating]")
    page.click(".start")
    page.wait_until("document.querySelector('dialog') !== null")


def test_abx_is_blind_counts_and_saves(page: Page, tmp_path: Path) -> None:
    _begin_abx(page, num_trials=6)
    heard = []
    for trial in range(6):
        assert page.run("document.querySelector('.progress').textContent") == f"Trial {trial + 1} of 6"
        _assert_blind(page)
        heard.append(names_by_sound(page)[2])
        _answer_abx(page, rightly=trial != 2)
    assert len(set(heard)) == 2
    assert page.run("document.querySelector('.verdict').textContent") == "5 of 6 right, p = 0.109"
    saved = _saved(page, tmp_path)
    assert saved["page"]["title"] == "Two recordings"
    assert "Chrome" in saved["user_agent"]
    (test,) = saved["tests"]
    assert (test["kind"], test["example"], test["seed"]) == ("abx", RECORDINGS[1], 7)
    assert test["a"] == {"name": "lab 6 kbps", "system": "lab", "bandwidth_kbps": 6, "true_kbps": 6.2}
    assert test["b"]["system"] == "opus"
    assert (test["num_trials"], test["num_right"]) == (6, 5)
    assert test["p_value"] == pytest.approx(7 / 64)
    assert [test[trial["x"]]["name"] for trial in test["trials"]] == heard
    assert [trial["right"] for trial in test["trials"]] == [True, True, False, True, True, True]
    times = [
        test["started"],
        *(trial["answered"] for trial in test["trials"]),
        test["finished"],
        saved["saved"],
    ]
    assert times == sorted(times)


def test_keys_and_playing_go_on_through_trials(page: Page) -> None:
    _begin_abx(page, num_trials=3)
    assert page.run("Controls.active.player.selected") == 2
    page.press(" ")
    page.wait_until("Controls.active.player.position > 0.05")
    page.press("1")
    assert page.run("Controls.active.player.selected") == 0
    _answer_abx(page, rightly=True)
    page.wait_until("Controls.active.player.position > 0.05")
    page.click(".leave")
    page.wait_until("Controls.active === null && !document.querySelector('main').hidden")


def test_ratings_are_blind_and_saved_with_names(page: Page, tmp_path: Path) -> None:
    page.run("document.querySelector('[value=rating]').click()")
    page.run("document.querySelector('[name=version][value=\"opus 6 kbps\"]').click()")  # left out
    _fill(page, {"[name=seed]": 3})
    page.click(".start")
    wanted = [name for name in NAMES if name != "opus 6 kbps"]
    orders = []
    for recording in range(2):
        page.wait_until(
            f"document.querySelector('.progress')?.textContent === 'Recording {recording + 1} of 2'"
        )
        _assert_blind(page)
        reference, *order = names_by_sound(page)
        assert reference == "original"
        assert sorted(order) == sorted(wanted)
        orders.append(order)
        for row, name in enumerate(order):
            assert page.run("document.querySelector('dialog .place .primary').disabled") is True
            score = 10 * NAMES.index(name) + recording
            page.run(
                f"(() => {{ const one = document.querySelectorAll('.rating')[{row}]; one.value = {score};"
                "one.dispatchEvent(new Event('input')); })()"
            )
        page.click("dialog .place .primary")
    page.wait_until("document.querySelector('dialog.done') !== null")
    rows = page.run(
        "[...document.querySelectorAll('dialog tbody tr')].map((row) => row.innerText.split('\\t'))"
    )
    means = {name: f"{10 * NAMES.index(name) + 0.5:.1f}" for name in wanted}
    assert rows == [[name, means[name], "2"] for name in reversed(wanted)]
    (test,) = _saved(page, tmp_path)["tests"]
    assert (test["kind"], test["seed"]) == ("rating", 3)
    for recording, result in enumerate(test["examples"]):
        assert result["example"] == RECORDINGS[recording]
        assert [one["name"] for one in result["ratings"]] == orders[recording]
        assert [one["shown_as"] for one in result["ratings"]] == ["A", "B", "C", "D"]
        for one in result["ratings"]:
            assert one["score"] == 10 * NAMES.index(one["name"]) + recording
            assert one["hidden_reference"] == (one["name"] == "original")
        assert result["started"] <= result["finished"]


def test_a_reload_loses_nothing(page: Page, page_address: str, tmp_path: Path) -> None:
    _begin_abx(page, num_trials=4)
    heard = [names_by_sound(page)[2]]
    _answer_abx(page, rightly=True)
    heard.append(names_by_sound(page)[2])
    page.open(page_address)
    page.click(".resume")
    assert page.run("document.querySelector('.progress').textContent") == "Trial 2 of 4"
    assert names_by_sound(page)[2] == heard[1]
    page.click(".leave")
    (unfinished,) = _saved(page, tmp_path)["tests"]
    assert (unfinished["num_trials"], unfinished["num_trials_planned"], unfinished["finished"]) == (
        1,
        4,
        None,
    )
    page.click(".resume")
    for _ in range(3):
        _answer_abx(page, rightly=True)
    page.open(page_address)
    assert page.run("document.querySelector('.resume')") is None
    assert "1 finished test." in page.run("document.querySelector('.notice').textContent")


def test_without_storage_it_works_and_says_what_is_lost(
    page: Page, page_address: str, tmp_path: Path
) -> None:
    refusing = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } });"
    added = page.send("Page.addScriptToEvaluateOnNewDocument", source=refusing)
    try:
        page.open(page_address)
        _begin_abx(page, num_trials=1)
        _answer_abx(page, rightly=True)
        page.click("dialog .place .row button:last-child")
        page.wait_until("document.querySelector('.notice') !== null")
        assert "save before you leave" in page.run("document.querySelector('.notice').textContent")
        assert len(_saved(page, tmp_path)["tests"]) == 1
    finally:
        page.send("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
        page.open(page_address)


def test_impossible_tests_do_not_start(page: Page) -> None:
    _fill(page, {"[name=a]": "1", "[name=b]": "1"})
    page.click(".start")
    assert page.run("document.querySelector('.setup [role=alert]').textContent") == "Choose two versions."
    page.run("document.querySelector('[value=rating]').click()")
    page.run("document.querySelectorAll('[name=version]').forEach((one) => one.click())")
    page.click(".start")
    assert "a version" in page.run("document.querySelector('.setup [role=alert]').textContent")
    assert page.run("document.querySelector('dialog')") is None
