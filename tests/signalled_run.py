"""Settings of small runs that are sent signals, by the callbacks of `signalled.py`."""

from pathlib import Path

from small_run import shrunk

NUM_STEPS = 11
VALIDATION_INTERVAL = 4


def overrides(noise_folder: Path) -> list[str]:
    return [
        "experiment=tiny",
        *shrunk(noise_folder),
        "codec_training.discriminator_probability=0.5",
        f"codec_training.schedule.total_steps={NUM_STEPS}",
        f"trainer.max_steps={NUM_STEPS}",
        f"trainer.val_check_interval={VALIDATION_INTERVAL}",
        "~callbacks.samples",
    ]


def rank_states(folder: Path) -> list[str]:
    return ["+callbacks.states._target_=rank_states.RankStates", f"+callbacks.states.folder={folder}"]


def signals(at: str, rank: int) -> list[str]:
    return [
        "+callbacks.signals._target_=signalled.SignalsAtSteps",
        f"+callbacks.signals.signals={at}",
        f"+callbacks.signals.rank={rank}",
    ]


def signal_at(hook: str, number: str) -> list[str]:
    return [
        "+callbacks.signal._target_=signalled.SignalAtHook",
        f"+callbacks.signal.hook={hook}",
        f"+callbacks.signal.number={number}",
    ]
