"""Tables of the page."""

from collections.abc import Iterable, Sequence
from html import escape


def table_html(headings: Iterable[str], body: Sequence[str]) -> str:
    """A table that scrolls sideways where it is too wide; `body` is its `<tr>` elements."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def decimal(value: float, num_decimals: int) -> str:
    """With a true minus sign."""
    return f"{value:.{num_decimals}f}".replace("-", "\N{MINUS SIGN}")
