"""The page in a real browser, from the file system: it plays, and switches without a gap."""

import itertools
import json
import math
import time

import numpy as np
import pytest
from headless_browser import BROWSER, Page
from listening_page import DURATION_S, NAMES, names_by_sound

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def test_everything_decodes_and_has_a_picture_and_a_name(page: Page) -> None:
    assert page.run("document.querySelectorAll('.controls').length") == 2
    assert page.run("[...document.images].filter((one) => one.naturalWidth > 0).length") == 2 * len(NAMES)
    page.click(".play")
    page.wait_until("Controls.active.player.position > 0.1")
    assert names_by_sound(page) == NAMES
    page.send("Accessibility.enable")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    page.send("Accessibility.disable")
    controls = [node for node in nodes if node.get("role", {}).get("value") in
                ("button", "slider", "checkbox", "radio", "combobox", "spinbutton", "image")]  # fmt: skip
    assert len(controls) > 30
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_switching_keeps_the_position_and_leaves_one_version_audible(page: Page) -> None:
    page.click(".play")
    page.wait_until("Controls.active.player.position > 0.1")
    moves = page.run(
        """(async () => {
          const player = Controls.active.player, moves = [];
          for (const index of [2, 4, 0, 1]) {
            const before = player.position;
            player.select(index);
            moves.push(Math.abs(player.position - before));
            await new Promise((resolve) => setTimeout(resolve, 120));
            const wanted = player.levels.map((_, version) => Number(version === index));
            if (String(player.levels) !== String(wanted)) throw new Error(`levels ${player.levels} for ${index}`);
          }
          return moves;
        })()"""
    )
    assert max(moves) < 0.05
    assert 0.5 < page.run("Controls.active.player.position") < DURATION_S
    page.click(".play")
    assert page.run("Controls.active.player.playing") is False
    rest = page.run("Controls.active.player.position")
    time.sleep(0.1)
    assert page.run("Controls.active.player.position") == rest


def _render(page: Page, factors: list[float], loop: bool, script: str) -> tuple[np.ndarray, np.ndarray]:
    """A second at 8 kHz of the page's own player over versions that are noise times a factor, and the noise.

    `script` gives what happens when, as [[seconds, (player) => ...], ...].
    """
    length = 2000 if loop else 8000
    output, noise = page.run(
        f"""(async () => {{
          const rate = 8000, random = seededRandom(1), context = new OfflineAudioContext(1, rate, rate);
          const noise = Float32Array.from({{ length: {length} }}, () => 0.1 + 0.5 * random());
          const buffers = {factors}.map((factor) => {{
            const buffer = new AudioBuffer({{ length: {length}, sampleRate: rate }});
            buffer.copyToChannel(noise.map((x) => factor * x), 0);
            return buffer;
          }});
          const player = new VersionPlayer({length} / rate, async () => ({{ context, buffers }}));
          player.setLoop({json.dumps(loop)});
          await player.play();
          for (const [at, action] of {script}) context.suspend(at).then(() => {{ action(player); context.resume(); }});
          return [Array.from((await context.startRendering()).getChannelData(0)), Array.from(noise)];
        }})()"""
    )
    return np.array(output), np.array(noise)


START, FADE = 160, 40  # in samples: 20 ms until the player acts, 5 ms of crossfade


def test_no_gap_and_no_bump_however_quickly_versions_change(page: Page) -> None:
    at_once = "(p) => { p.select(2); p.select(0); p.select(1); }"
    hasty = f"[[0.3, (p) => p.select(1)], [0.4, {at_once}], [0.416, (p) => p.select(0)]]"
    output, noise = _render(page, [1, 1, 1], False, hasty)
    assert not output[:START].any()
    assert np.abs(output[START + FADE :] - noise[FADE : -START or None]).max() < 1e-5


def test_what_is_heard_is_the_version_at_the_same_sample(page: Page) -> None:
    output, noise = _render(
        page, [1, 0.5, 0.25], False, "[[0.304, (p) => p.select(1)], [0.6, (p) => p.select(2)]]"
    )
    factor = output[START:] / noise[: 8000 - START]
    settled = [(factor[FADE:], 0, 2300, 1.0), (factor, 2700, 4600, 0.5), (factor, 5000, 7800, 0.25)]
    for values, first, last, wanted in settled:
        assert np.abs(values[first:last] - wanted).max() < 1e-5
    on_the_way = np.flatnonzero((np.abs(factor - 1) > 1e-4) & (np.abs(factor - 0.5) > 1e-4))
    first_fade = on_the_way[(on_the_way > 2300) & (on_the_way < 2700)]
    assert 30 < len(first_fade) <= FADE
    assert np.all(np.diff(factor[first_fade]) < 0)


def test_a_loop_has_no_seam_and_a_seek_no_click(page: Page) -> None:
    output, noise = _render(page, [1, 1], True, "[[0.5, (p) => p.select(1)]]")
    wanted = noise[np.arange(8000 - START) % len(noise)]
    assert np.abs(output[START + FADE :] - wanted[FADE:]).max() < 1e-5
    output, noise = _render(page, [1], False, "[[0.5, (p) => p.seek(0.1)]]")
    at = int(np.ceil(0.5 * 8000 / 128)) * 128 + START
    assert np.abs(output[at + FADE : at + 2000] - noise[800 + FADE : 2800]).max() < 1e-5
    assert output[at : at + FADE].min() > 0.09


def test_keys(page: Page) -> None:
    page.click("article h3")
    page.press(" ")
    page.wait_until("Controls.active.player.position > 0.05")
    chosen = "Controls.active.player.selected"
    for key, wanted in (("2", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("0", 0), ("ArrowLeft", 4), ("9", 4)):
        page.press(key)
        assert page.run(chosen) == wanted
        pressed = page.run(
            "[...document.querySelectorAll('article:first-of-type .version')].map((one) => one.ariaPressed)"
        )
        assert pressed == [str(index == wanted).lower() for index in range(5)]
    page.press("l")
    page.press(" ")
    assert page.run("[Controls.active.player.playing, Controls.active.player.loop, Controls.active.loop.checked]") == [
        False, True, True]  # fmt: skip
    page.run("Controls.active.player.seek(0.5)")
    page.press("ArrowRight", shift=True)
    assert page.run("Controls.active.player.position") == pytest.approx(1.5)
    page.press("ArrowLeft", shift=True)
    assert page.run("Controls.active.player.position") == pytest.approx(0.5)
    assert page.run(
        "[...document.querySelectorAll('.keys kbd')].map((one) => one.textContent).join(' ')"
    ).startswith("Space 0–9")
    # Where a key is needed for writing, it is not taken.
    page.run("document.querySelector('[name=seed]').focus()")
    page.press("3")
    assert page.run("document.querySelector('[name=seed]').value") == "3"
    assert page.run(chosen) == 4


def test_a_click_on_a_spectrogram_seeks_and_all_playheads_follow(page: Page) -> None:
    page.click("article figure:nth-of-type(3) .spectrogram", across=0.75)
    assert page.run("[Controls.active.player.selected, Controls.active.player.playing]") == [2, False]
    assert page.run("Controls.active.player.position") == pytest.approx(1.5, abs=0.02)
    heads = "[...document.querySelectorAll('article:first-of-type .spectrogram b')]"
    places = page.run(f"{heads}.map((one) => one.offsetLeft / one.parentNode.offsetWidth)")
    assert places == pytest.approx([0.75] * 5, abs=0.02)
    page.click("article .play")
    page.wait_until("Controls.active.player.position < 1 && !Controls.active.player.playing")  # at the end


def test_one_example_plays_at_a_time(page: Page) -> None:
    page.run("document.querySelectorAll('.play')[0].click()")
    page.wait_until("Controls.active.player.position > 0.05")
    page.run("window.first = Controls.active; document.querySelectorAll('.play')[1].click(); 0")
    page.wait_until("Controls.active !== first && Controls.active.player.position > 0.05")
    assert page.run("[first.player.playing, Controls.active.player.playing]") == [False, True]


def test_chance_of_guessing(page: Page) -> None:
    for right, trials in ((12, 16), (0, 5), (5, 5), (60, 100), (0, 0)):
        wanted = sum(math.comb(trials, k) for k in range(right, trials + 1)) / 2**trials
        assert page.run(f"guessingProbability({right}, {trials})") == pytest.approx(wanted, rel=1e-12)
    orders = [page.run(f"abxOrder({seed}, 400)") for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert 160 < sum(orders[0]) < 240
    firsts = page.run("Array.from({ length: 500 }, (_, seed) => ratingOrder(seed, 0, [0, 1, 2, 3, 4])[0])")
    assert all(70 < firsts.count(version) < 130 for version in range(5))
    permutations = page.run(
        "Array.from({ length: 400 }, (_, seed) => ratingOrder(seed, 1, [0, 1, 2]).join(''))"
    )
    assert sorted(set(permutations)) == sorted("".join(one) for one in itertools.permutations("012"))


def test_dark_and_narrow(page: Page) -> None:
    """Text stands out in both modes (WCAG 2: 4.5 to 1), and nothing but tables is wider than a telephone."""
    contrast = """(() => {
      const luminance = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255)
        .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
        .reduce((sum, x, index) => sum + x * [0.2126, 0.7152, 0.0722][index], 0);
      const style = (selector, name) => luminance(getComputedStyle(document.querySelector(selector))[name]);
      const pairs = [["body", "color", "body"], [".lead", "color", "body"], [".play", "color", ".play"],
        ["[aria-pressed=true]", "color", "[aria-pressed=true]"], ["kbd", "color", "kbd"],
        [".clock", "color", ".example"]];
      return pairs.map(([text, name, ground]) => [style(text, name), style(ground, "backgroundColor")])
        .map(([one, other]) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05));
    })()"""
    grounds = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.send("Emulation.setEmulatedMedia", features=features)
        assert min(page.run(contrast)) > 4.5
        grounds.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]
    page.send("Emulation.setEmulatedMedia", features=[])
    page.send("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=True)
    assert page.run("document.documentElement.scrollWidth") <= 380
    page.send("Emulation.clearDeviceMetricsOverride")


def test_sound_that_could_not_be_decoded_is_tried_again(page: Page) -> None:
    page.run(
        """window.tried = (async () => {
          const sounds = new Sounds([{ sample_rate_hz: 24000, versions: [{ flac: "" }] }]), told = [];
          const context = sounds.contextFor(24000), results = [() => Promise.reject("no memory"), async () => "sound"];
          context.decodeAudioData = () => results.shift()();
          for (let time = 0; time < 2; time++) {
            told.push(await sounds.open(0).then(({ buffers }) => buffers[0], (error) => error));
          }
          window.told = told.join();
        })(); 0"""
    )
    page.wait_until("window.told !== undefined")
    assert page.run("window.told") == "no memory,sound"
