"""A page of panels one below the other, under a title and a legend and over a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lstm_jax.figures import style

LEFT, MARGIN, BOTTOM = 0.62, 0.10, 0.12  # beside the panels, around the page, below the caption; in inches
_BETWEEN = 0.14


class Page(NamedTuple):
    """A figure with its panels one below the other, and their width in inches."""

    figure: Figure
    panels: list[Axes]
    panel_inches: float


def stack_panels(
    title: str,
    caption: str,
    handles: Sequence[Line2D],
    beside: Iterable[str],
    heights: Sequence[float],
    x_label_inches: float = 0.50,
) -> Page:
    """Place panels of these heights in inches, with one x axis, below a title and a legend and above a caption.

    At the right there is room for the texts `beside`.
    """
    title_lines = style.wrap(title, style.WIDTH_INCHES - 2 * MARGIN, style.TITLE_POINTS, "bold")
    caption_lines = style.wrap(caption, style.WIDTH_INCHES - 2 * MARGIN, style.CAPTION_POINTS)
    longest = max((style.text_width_inches(text, style.TICK_POINTS) for text in beside), default=0.0)
    panel_width = style.WIDTH_INCHES - LEFT - longest - 0.18
    columns = style.legend_columns([str(handle.get_label()) for handle in handles], style.WIDTH_INCHES - LEFT - MARGIN)
    title_height = style.height_inches(title_lines, style.TITLE_POINTS) + 0.06
    head = MARGIN + title_height + style.legend_height_inches(len(handles), columns) + 0.10
    foot = x_label_inches + style.height_inches(caption_lines, style.CAPTION_POINTS) + BOTTOM
    height = head + sum(heights) + _BETWEEN * (len(heights) - 1) + foot

    figure = Figure(figsize=(style.WIDTH_INCHES, height), dpi=style.DPI)
    write_title_and_caption(figure, title_lines, caption_lines)
    style.add_legend(figure, handles, LEFT, MARGIN + title_height, columns)
    panels: list[Axes] = []
    top = height - head
    for inches in heights:
        box = (LEFT / style.WIDTH_INCHES, (top - inches) / height, panel_width / style.WIDTH_INCHES, inches / height)
        panels.append(figure.add_axes(box, sharex=panels[0] if panels else None))
        style.plain_axes(panels[-1])
        top -= inches + _BETWEEN
    return Page(figure, panels, panel_width)


def write_title_and_caption(figure: Figure, title_lines: Sequence[str], caption_lines: Sequence[str]) -> None:
    """Write the title at the top of a figure and the caption at its bottom."""
    width, height = figure.get_size_inches()
    figure.text(
        MARGIN / width, 1.0 - MARGIN / height, style.as_written("\n".join(title_lines)), va="top",
        fontsize=style.TITLE_POINTS, weight="bold", linespacing=style.LINE_SPACING,
    )  # fmt: skip
    figure.text(
        MARGIN / width, BOTTOM / height, style.as_written("\n".join(caption_lines)), va="bottom",
        fontsize=style.CAPTION_POINTS, color=style.GREY, linespacing=style.LINE_SPACING,
    )  # fmt: skip


def label_panels(page: Page, x_label: str, y_labels: Sequence[str]) -> None:
    """Name the axes of stacked panels; ticks of the x axis are labelled at the lowest alone."""
    for axes, label in zip(page.panels, y_labels, strict=True):
        axes.tick_params(axis="x", which="both", labelbottom=False)
        axes.set_ylabel(style.as_written(label), fontsize=style.LABEL_POINTS)
        # One column of labels, whatever the widths of the ticks; a second line, of a panel without, is nearer to it.
        axes.yaxis.set_label_coords((-0.44 + 0.15 * label.count("\n")) / page.panel_inches, 0.5)
    page.panels[-1].tick_params(axis="x", which="major", labelbottom=True)
    page.panels[-1].set_xlabel(x_label, fontsize=style.LABEL_POINTS)
