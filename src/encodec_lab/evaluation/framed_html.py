"""Pieces of the evaluation page by themselves, for notebooks."""

from html import escape
from importlib.resources import files


def framed_html(content: str, height_px: int = 360) -> str:
    """An `<iframe>` with charts or tables in the page's own style, which reaches nothing outside of it, nor is reached.

    Args:
        content: HTML such as that of `line_chart`, `quality_html` or `training_html`.
        height_px: of the frame where scripts may not fit it to its content.
    """
    style = (files("encodec_lab") / "assets/report/styles/page.css").read_text(encoding="utf-8")
    style += "body { margin: 0; padding: 4px 0; } body > .chart { max-width: 640px; }"
    page = f"<!doctype html><style>{style}</style>{content}"
    fit = "this.style.height = this.contentDocument.documentElement.offsetHeight + 8 + 'px'"
    return (
        f'<div><iframe srcdoc="{escape(page)}" onload="{escape(fit)}"'
        f' style="width: 100%; height: {height_px}px; border: 0"></iframe></div>'
    )
