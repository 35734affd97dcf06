"""A page with two short recordings to listen to, whose versions can be told from their sound."""

import torch
from headless_browser import Page

from encodec_lab.evaluation.listening import ListeningExample
from encodec_lab.evaluation.transmission import Transmitted

SAMPLE_RATE_HZ = 12_000
DURATION_S = 2.0
# Every version of a recording has a level of its own, by which it is known whatever it is called.
LEVELS = {
    "original": 0.3,
    "lab 1.5 kbps": 0.2,
    "lab 6 kbps": 0.25,
    "opus 6 kbps": 0.15,
    "low-pass 3.5 kHz": 0.1,
}
NAMES = list(LEVELS)
RECORDINGS = ("one.wav", "other.wav")


def listening_example(name: str) -> ListeningExample:
    """Noise, and the same noise at the other levels."""
    noise = torch.randn(
        1, int(DURATION_S * SAMPLE_RATE_HZ), generator=torch.Generator().manual_seed(len(name))
    )
    noise = noise.clamp(-3, 3)
    noise /= noise.square().mean().sqrt()
    facts = [("lab", 1.5, 1.61), ("lab", 6.0, 6.2), ("opus", 6.0, 7.3), ("low-pass 3.5 kHz", None, None)]
    decoded = [
        Transmitted(*fact, noise * level)
        for fact, level in zip(facts, list(LEVELS.values())[1:], strict=True)
    ]
    return ListeningExample(name, "speech", SAMPLE_RATE_HZ, noise * LEVELS["original"], decoded)


def names_by_sound(page: Page) -> list[str]:
    """What the buttons of the active controls make audible, told from the sound itself."""
    levels = page.run(
        "Controls.active.player.open().then(({ buffers }) => buffers.map((one) => "
        "Math.sqrt(one.getChannelData(0).reduce((sum, x) => sum + x * x, 0) / one.length)))"
    )
    return [min(LEVELS, key=lambda name: abs(LEVELS[name] - level)) for level in levels]
