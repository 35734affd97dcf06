"""Line and bar charts as inline SVG; the colours are the style sheet's, so they follow light and dark mode."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 42
NUM_COLOURS = 8
# In pixels round the point; none for a disc.
_MARKER_CORNERS: Sequence[Sequence[tuple[float, float]]] = (
    (),
    ((-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)),
    ((0, -4.8), (4.8, 0), (0, 4.8), (-4.8, 0)),
    ((0, -4.4), (4.2, 3.2), (-4.2, 3.2)),
)


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: in the legend.
        xs: ascending.
        ys: as many.
        intervals: (low, high) round each y, or empty for none.
        markers: a dot at each point.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    intervals: Sequence[tuple[float, float]] = ()
    markers: bool = False


@dataclass(frozen=True)
class Level:
    """A value that holds for every x, drawn as a broken line across the chart.

    Attributes:
        label: in the legend, after those of the lines.
        y: the value.
        interval: (low, high) round it, if known.
    """

    label: str
    y: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Axis:
    """A map from values to pixels; logarithmic to base 10 if asked for."""

    low: float
    high: float
    start_px: float
    end_px: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low)))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return self.start_px + (value - low) / (high - low) * (self.end_px - self.start_px)


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    x_ticks: Sequence[float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    levels: Sequence[Level] = (),
) -> str:
    """An SVG, with a legend above for several lines, unless there are more than colours.

    Empty lines are left out, but keep their colour, so that a line looks alike in charts beside each other.
    """
    if not any(line.xs for line in lines):
        return '<p class="empty">No data.</p>'
    xs = [x for line in lines for x in line.xs] + list(x_ticks or ())
    ys = [y for line in lines for y in line.ys]
    ys += [end for line in lines for interval in line.intervals for end in interval]
    x_axis = _padded_axis(xs, _LEFT, WIDTH - _RIGHT, log_x, margin=0.05 if log_x else 0.0)
    ys += [end for level in levels for end in (level.y, *(level.interval or ()))]
    y_axis = _padded_axis(ys, HEIGHT - _BOTTOM, _TOP, log_y, margin=0.06)
    parts = [_grid(x_axis, y_axis, x_ticks, x_label, y_label)]
    parts += [_level(level, len(lines) + index, index, y_axis) for index, level in enumerate(levels)]
    parts += [_line(line, index, x_axis, y_axis) for index, line in enumerate(lines) if line.xs]
    entries = [(index, line.label, "") for index, line in enumerate(lines) if line.xs]
    entries += [(len(lines) + index, level.label, "level") for index, level in enumerate(levels)]
    legend = _legend(entries) if 1 < len(entries) <= NUM_COLOURS else ""
    return legend + _svg("".join(parts), f"{y_label} over {x_label}")


def bar_chart(
    values: Sequence[float], x_label: str, y_label: str, full_scale: float, names: Sequence[str]
) -> str:
    """An SVG of bars from 0 to `full_scale`; `names` are shown on hovering."""
    y_axis = _Axis(0, full_scale, HEIGHT - _BOTTOM, _TOP, False)
    pitch_px = (WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    every = math.ceil(len(values) / 16)
    parts = [_y_grid(y_axis, y_label), _x_label(x_label)]
    for index, (value, name) in enumerate(zip(values, names, strict=True)):
        left_px, top_px = _LEFT + (index + 0.12) * pitch_px, y_axis(min(value, full_scale))
        parts.append(
            f'<rect class="bar" x="{left_px:.1f}" y="{top_px:.1f}" width="{0.76 * pitch_px:.1f}"'
            f' height="{y_axis(0) - top_px:.1f}" rx="1.5"><title>{escape(name)}</title></rect>'
        )
        if index % every == 0:
            parts.append(_text(_LEFT + (index + 0.5) * pitch_px, HEIGHT - _BOTTOM + 16, str(index), "middle"))
    return _svg("".join(parts), f"{y_label} by {x_label}")


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most about `most` round numbers within [low, high]."""
    raw_step = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(raw_step))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw_step * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high], their double and fivefold too where few, linear ticks within a decade."""
    if high < 10 * low:
        return linear_ticks(low, high)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors: Sequence[int] = (1, 2, 5) if len(exponents) <= 4 else (1,)
    ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def _padded_axis(
    values: Sequence[float], start_px: float, end_px: float, logarithmic: bool, margin: float
) -> _Axis:
    low, high = min(values), max(values)
    if logarithmic:
        factor = (high / low) ** margin if high > low else 1.5
        return _Axis(low / factor, high * factor, start_px, end_px, True)
    padding = (high - low) * margin if high > low else max(abs(high), 1.0) * 0.1
    return _Axis(low - padding, high + padding, start_px, end_px, False)


def _grid(x_axis: _Axis, y_axis: _Axis, x_ticks: Sequence[float] | None, x_label: str, y_label: str) -> str:
    if x_ticks is None:
        ticks_of = log_ticks if x_axis.logarithmic else linear_ticks
        x_ticks = ticks_of(x_axis.low, x_axis.high)
    parts = [_y_grid(y_axis, y_label), _x_label(x_label)]
    for tick in x_ticks:
        parts.append(_text(x_axis(tick), HEIGHT - _BOTTOM + 16, _number(tick), "middle"))
        parts.append(f'<path class="grid" d="M{x_axis(tick):.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
    return "".join(parts)


def _y_grid(y_axis: _Axis, y_label: str) -> str:
    ticks_of: Callable[[float, float], list[float]] = log_ticks if y_axis.logarithmic else linear_ticks
    parts = []
    for tick in ticks_of(y_axis.low, y_axis.high):
        parts.append(f'<path class="grid" d="M{_LEFT} {y_axis(tick):.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 7, y_axis(tick) + 4, _number(tick), "end"))
    middle_px = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(13 {middle_px}) rotate(-90)">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _x_label(label: str) -> str:
    middle_px = (_LEFT + WIDTH - _RIGHT) / 2
    return f'<text class="axis" x="{middle_px}" y="{HEIGHT - 6}" text-anchor="middle">{escape(label)}</text>'


def _line(line: Line, index: int, x_axis: _Axis, y_axis: _Axis) -> str:
    points = [(x_axis(x), y_axis(y)) for x, y in zip(line.xs, line.ys, strict=True)]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    marks = ""
    if line.intervals:
        ends = list(zip(points, line.intervals, strict=True))
        upper = [f"{x:.1f} {y_axis(high):.1f}" for (x, _), (_, high) in ends]
        lower = [f"{x:.1f} {y_axis(low):.1f}" for (x, _), (low, _) in reversed(ends)]
        marks += f'<path class="band" d="M{"L".join([*upper, *lower])}Z"/>'
        marks += "".join(
            f'<path class="whisker" d="M{x:.1f} {y_axis(low):.1f}V{y_axis(high):.1f}"/>'
            for (x, _), (low, high) in ends
        )
    marks += f'<path class="line" d="{path}"/>'
    if line.markers or len(points) == 1:
        intervals: Sequence[tuple[float, float] | None] = line.intervals or [None] * len(points)
        for (x_px, y_px), x, y, interval in zip(points, line.xs, line.ys, intervals, strict=True):
            told = f"{line.label}: {_number(y)} at {_number(x)}"
            told += f" [{_number(interval[0])}, {_number(interval[1])}]" if interval else ""
            marks += _marker(index, x_px, y_px, told)
    return f'<g class="colour{index % NUM_COLOURS}">{marks}</g>'


def _marker(index: int, x_px: float, y_px: float, told: str) -> str:
    """A shape as well as a colour for each line: disc, square, diamond, triangle."""
    title = f"<title>{escape(told)}</title>"
    corners = _MARKER_CORNERS[index % len(_MARKER_CORNERS)]
    if not corners:
        return f'<circle cx="{x_px:.1f}" cy="{y_px:.1f}" r="3.6">{title}</circle>'
    points = " ".join(f"{x_px + x:.1f},{y_px + y:.1f}" for x, y in corners)
    return f'<polygon points="{points}">{title}</polygon>'


def _level(level: Level, index: int, order: int, y_axis: _Axis) -> str:
    """The `order` keeps the whiskers of several levels beside each other."""
    told = f"{level.label}: {_number(level.y)}"
    marks = f'<path class="line level" d="M{_LEFT} {y_axis(level.y):.1f}H{WIDTH - _RIGHT}"/>'
    if level.interval:
        low, high = level.interval
        told += f" [{_number(low)}, {_number(high)}]"
        marks += f'<path class="whisker" d="M{_LEFT + 8 + 7 * order} {y_axis(low):.1f}V{y_axis(high):.1f}"/>'
    return f'<g class="colour{index % NUM_COLOURS}">{marks}<title>{escape(told)}</title></g>'


def _legend(entries: Sequence[tuple[int, str, str]]) -> str:
    """Of (index of the colour, label, class)."""
    items = (
        f'<li class="colour{index % NUM_COLOURS} {kind}"><i></i>{escape(label)}</li>'
        for index, label, kind in entries
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _text(x_px: float, y_px: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x_px:.1f}" y="{y_px:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(content: str, description: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
        f"{content}</svg>"
    )


def _number(value: float) -> str:
    """Short, with a true minus sign: 12000 as 12k, 0.001 as 0.001, 1e-05 as 1e-5."""
    if abs(value) >= 10_000:
        text = f"{value / 1000:g}k" if abs(value) < 1e6 else f"{value / 1e6:.4g}M"
    elif value != 0 and abs(value) < 1e-3:
        text = f"{value:.0e}".replace("e-0", "e-")
    else:
        text = f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text
