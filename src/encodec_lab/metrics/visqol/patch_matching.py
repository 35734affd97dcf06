"""Which patch of the degraded signal answers each patch of the reference, and how similar the two are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encodec_lab.metrics.visqol.alignment import shift_and_trim
from encodec_lab.metrics.visqol.gammatone import GammatoneBank, comparable_levels, spectrogram
from encodec_lab.metrics.visqol.neurogram import Patches, measured, similarity
from encodec_lab.metrics.visqol.signal import Signal, Spectrogram

SEARCH_RADIUS_PATCHES = 60
# Small enough to stay in a core's cache.
_PATCHES_AT_ONCE = 32


def match_patches(patches: Spectrogram, starts: Sequence[int], degraded: Spectrogram) -> list[int | None]:
    """For each reference patch the first frame of its match in `degraded` [S, F], or None if it was lost.

    The matches come one after the other in time, and have the largest sum of similarities that is possible so: found by
    dynamic programming, in which a patch may also be left out.

    Args:
        patches: of the reference, [P, S, F].
        starts: their first frames.
        degraded: the whole spectrogram, [S, F].
    """
    radius = SEARCH_RADIUS_PATCHES * patches.shape[1]
    num_offsets = len(degraded)
    windows = [range(max(0, start - radius), min(num_offsets, start + radius + 1)) for start in starts]
    scores = _similarities(patches, degraded, windows)
    came_from: list[NDArray[np.int64]] = []
    best_so_far = np.zeros(num_offsets)  # sum of similarities up to a patch that begins at each frame
    for index, window in enumerate(windows):
        totals, previous = scores[index], np.full(len(window), -1)
        if index > 0:
            earliest = windows[index - 1].start
            before, where = _running_maximum(best_so_far[earliest : window.stop])
            here = np.arange(window.start, window.stop)
            totals = totals + before[here - earliest]
            left_out = best_so_far[here] > totals
            totals = np.where(left_out, best_so_far[here], totals)
            previous = np.where(left_out, here, where[here - earliest] + earliest)
        best_so_far = np.zeros(num_offsets)
        best_so_far[window.start : window.stop] = totals
        came_from.append(previous)
    offset = windows[-1].start + int(np.argmax(best_so_far[windows[-1].start : windows[-1].stop]))
    matches: list[int | None] = []
    for window, previous in zip(reversed(windows), reversed(came_from), strict=True):
        before_this = int(previous[offset - window.start]) if offset in window else 0
        matches.append(None if before_this == offset else offset)
        offset = before_this
    return matches[::-1]


def similarities_by_band(
    reference: Signal,
    degraded: Signal,
    levels: tuple[Spectrogram, Spectrogram],
    starts: Sequence[int],
    matches: Sequence[int | None],
    patch_frames: int,
    bank: GammatoneBank,
) -> NDArray[np.float64]:
    """Mean similarity in each band of each patch, [P, F]: of the match, or of the same once aligned to the sample.

    Args:
        reference: [T].
        degraded: [T].
        levels: the spectrograms of the two, [S, F].
        starts: first frames of the reference's patches.
        matches: first frames in the degraded signal; the bands of a lost patch have no similarity.
        patch_frames: length of a patch.
        bank: what made the spectrograms.
    """
    padded = _with_silence_after(levels[1], patch_frames)
    by_band = np.zeros((len(starts), padded.shape[1]))
    for index, (start, match) in enumerate(zip(starts, matches, strict=True)):
        if match is None:
            continue
        by_band[index] = _mean_by_band(
            levels[0][start : start + patch_frames], padded[match : match + patch_frames]
        )
        pieces = (
            cut_frames(reference, start, patch_frames, bank),
            cut_frames(degraded, match, patch_frames, bank),
        )
        aligned = shift_and_trim(*pieces, bank.sample_rate_hz)
        if len(aligned[0]) > len(bank.window):
            finer = comparable_levels(*(spectrogram(wav, bank) for wav in aligned))
            again = _mean_by_band(*finer)
            if again.mean() >= by_band[index].mean():
                by_band[index] = again
    return by_band


def _similarities(
    patches: Spectrogram, degraded: Spectrogram, windows: Sequence[range]
) -> list[NDArray[np.float64]]:
    """For each reference patch, the mean similarity to the degraded patches that begin in its window."""
    patch_frames = patches.shape[1]
    every = np.lib.stride_tricks.sliding_window_view(
        _with_silence_after(degraded, patch_frames), patch_frames, axis=0
    ).swapaxes(1, 2)  # [offsets, S, F]
    references = [measured(patch) for patch in patches]
    scores = [np.empty(len(window)) for window in windows]
    for begin in range(0, len(degraded), _PATCHES_AT_ONCE):
        end = min(begin + _PATCHES_AT_ONCE, len(degraded))
        block = measured(np.ascontiguousarray(every[begin:end]))
        for reference, window, score in zip(references, windows, scores, strict=True):
            first, last = max(begin, window.start), min(end, window.stop)
            if first < last:
                part = Patches(*(array[first - begin : last - begin] for array in block))
                score[first - window.start : last - window.start] = similarity(reference, part).mean(
                    axis=(1, 2)
                )
    return scores


def _running_maximum(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The largest of all values before each, and the index of the last one so large; -inf and -1 for the first."""
    running = np.maximum.accumulate(values)
    where = np.maximum.accumulate(np.where(values >= running, np.arange(len(values)), -1))
    return np.concatenate([[-np.inf], running[:-1]]), np.concatenate([[-1], where[:-1]])


def _with_silence_after(levels: Spectrogram, patch_frames: int) -> Spectrogram:
    """So that a patch can begin at any frame of `levels` [S, F]."""
    return np.concatenate([levels, np.zeros((patch_frames - 1, levels.shape[1]))])


def _mean_by_band(reference: Spectrogram, degraded: Spectrogram) -> NDArray[np.float64]:
    means: NDArray[np.float64] = similarity(measured(reference), measured(degraded)).mean(axis=0)
    return means


def cut_frames(wav: Signal, frame: int, num_frames: int, bank: GammatoneBank) -> Signal:
    """The samples of `num_frames` hops from `frame` on, by google/visqol's arithmetic in seconds.

    It loses a sample at some frames, and puts what lacks at the end of `wav` before it instead.
    """
    rate_hz = bank.sample_rate_hz
    hop_s = bank.hop_samples / rate_hz
    start_s = frame * hop_s
    end_s = start_s + hop_s * num_frames
    piece = wav[int(start_s * rate_hz) : min(len(wav) - 1, int(end_s * rate_hz))]
    num_lacking = int(max(0, end_s * rate_hz - len(wav)))
    return np.concatenate([np.zeros(num_lacking), piece])
