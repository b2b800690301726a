"""A page of axes under a title and a legend and over a caption; everything is placed in inches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lstm_jax.figures import fonts, style

LEFT, MARGIN, BOTTOM = 0.62, 0.10, 0.12  # beside the axes, around the page, below the caption; in inches
_BETWEEN = 0.14


class Page(NamedTuple):
    """A figure with its text, and the inches above its lower edge between which there is room for axes."""

    figure: Figure
    bottom: float
    top: float


class Stack(NamedTuple):
    """A figure with axes one below the other, and their width in inches."""

    figure: Figure
    axes: list[Axes]
    axes_inches: float


def make_page(
    title: str, caption: str, handles: Sequence[Line2D], inches: float, *, above: float, below: float
) -> Page:
    """Make a figure with room for axes of `inches` in all, below a title and a legend and above a caption.

    `above` and `below` are further inches between the legend, the axes and the caption.
    """
    title_lines = style.wrap(title, style.WIDTH_INCHES - 2 * MARGIN, style.TITLE_POINTS, "bold")
    caption_lines = style.wrap(caption, style.WIDTH_INCHES - 2 * MARGIN, style.CAPTION_POINTS)
    columns = style.legend_columns([str(handle.get_label()) for handle in handles], style.WIDTH_INCHES - LEFT - MARGIN)
    title_height = style.height_inches(title_lines, style.TITLE_POINTS) + 0.06
    head = MARGIN + title_height + style.legend_height_inches(len(handles), columns) + above
    foot = below + style.height_inches(caption_lines, style.CAPTION_POINTS) + BOTTOM
    height = head + inches + foot

    figure = Figure(figsize=(style.WIDTH_INCHES, height), dpi=style.DPI)
    figure.text(
        MARGIN / style.WIDTH_INCHES, 1.0 - MARGIN / height, fonts.as_written("\n".join(title_lines)), va="top",
        fontsize=style.TITLE_POINTS, weight="bold", linespacing=style.LINE_SPACING,
    )  # fmt: skip
    figure.text(
        MARGIN / style.WIDTH_INCHES, BOTTOM / height, fonts.as_written("\n".join(caption_lines)), va="bottom",
        fontsize=style.CAPTION_POINTS, color=style.GREY, linespacing=style.LINE_SPACING,
    )  # fmt: skip
    if handles:
        style.add_legend(figure, handles, LEFT, MARGIN + title_height, columns)
    return Page(figure, foot, height - head)


def add_axes(
    figure: Figure, left: float, bottom: float, width: float, height: float, sharex: Axes | None = None
) -> Axes:
    """Add axes, their lower left corner at inches from the figure's."""
    page_width, page_height = figure.get_size_inches()
    box = (left / page_width, bottom / page_height, width / page_width, height / page_height)
    return figure.add_axes(box, sharex=sharex)


def stack_axes(
    title: str,
    caption: str,
    handles: Sequence[Line2D],
    beside: Iterable[str],
    heights: Sequence[float],
    x_label_inches: float = 0.50,
) -> Stack:
    """Place axes of these heights in inches one below the other, with one x axis.

    At the right there is room for the texts `beside`.
    """
    longest = max((style.text_width_inches(text, style.TICK_POINTS) for text in beside), default=0.0)
    width = style.WIDTH_INCHES - LEFT - longest - 0.18
    inches = sum(heights) + _BETWEEN * (len(heights) - 1)
    page = make_page(title, caption, handles, inches, above=0.10, below=x_label_inches)
    stacked: list[Axes] = []
    top = page.top
    for height in heights:
        stacked.append(add_axes(page.figure, LEFT, top - height, width, height, stacked[0] if stacked else None))
        style.plain_axes(stacked[-1])
        top -= height + _BETWEEN
    return Stack(page.figure, stacked, width)


def label_axes(stack: Stack, x_label: str, y_labels: Sequence[str]) -> None:
    """Name stacked axes; ticks of the x axis are labelled at the lowest alone."""
    for axes, label in zip(stack.axes, y_labels, strict=True):
        axes.tick_params(axis="x", which="both", labelbottom=False)
        axes.set_ylabel(fonts.as_written(label), fontsize=style.LABEL_POINTS)
        # One column of labels, whatever the widths of the ticks; a second line, of axes without, is nearer to them.
        axes.yaxis.set_label_coords((-0.44 + 0.15 * label.count("\n")) / stack.axes_inches, 0.5)
    stack.axes[-1].tick_params(axis="x", which="major", labelbottom=True)
    stack.axes[-1].set_xlabel(x_label, fontsize=style.LABEL_POINTS)
