"""Heat maps of gates and memory over a sentence, a row a unit."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lstm_jax.arrays import Floats
from lstm_jax.figures import fonts, style
from lstm_jax.figures.stack import LEFT, add_axes, make_page

_BETWEEN, _ROW_INCHES, _BAR_INCHES = 0.22, 0.032, 0.10
MAX_UNITS, MAX_WORDS = 64, 64
"""More units are drawn as so many, evenly spread; of more words, every other or third one is written."""


def gates_figure(
    maps: Mapping[str, Floats],
    words: Sequence[str],
    *,
    carriers: Collection[int],
    events: Collection[int],
    caption: str,
    title: str,
) -> Figure:
    """Draw maps [T, H], gates from 0 to 1 and the last one, the memory, about 0, in the order of their units.

    `carriers` are the units to mark at the left; the words of the steps `events` are written in bold. Raises ValueError
    where shapes don't fit.
    """
    shapes = {values.shape for values in maps.values()}
    if len(shapes) != 1 or next(iter(shapes))[0] != len(words) or not words:
        raise ValueError(f"expected maps of {len(words)} steps and the same units, got {sorted(shapes)}")
    ((_, num_units),) = shapes
    shown = np.unique(np.linspace(0, num_units - 1, min(num_units, MAX_UNITS)).round().astype(int))
    height = max(0.6, _ROW_INCHES * len(shown))
    longest = max(style.text_width_inches(word, style.TICK_POINTS) for word in words)
    inches = len(maps) * (height + _BETWEEN)
    page = make_page(title, caption, [], inches, above=0.12, below=longest + 0.2)
    width = style.WIDTH_INCHES - LEFT - 0.62
    top = page.top
    *_, last = maps
    for name, values in maps.items():
        axes = add_axes(page.figure, LEFT, top - height, width, height)
        most = float(np.abs(values).max()) or 1.0
        low, high, colours = (-most, most, "RdBu_r") if name == last else (0.0, 1.0, "viridis")
        image = axes.imshow(values.T[shown], aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        bar = add_axes(page.figure, LEFT + width + 0.10, top - height, _BAR_INCHES, height)
        page.figure.colorbar(image, cax=bar)
        bar.tick_params(labelsize=style.TICK_POINTS, width=0.7, length=2)
        bar.set_yticks([low, high] if name != last else [low, 0.0, high])
        bar.set_yticklabels(["0", "1"] if name != last else [f"{low:.1f}", "0", f"{high:.1f}"])
        axes.set_title(name, fontsize=style.LABEL_POINTS, loc="left", pad=2.0)
        axes.tick_params(labelsize=style.TICK_POINTS, width=0.7, length=2)
        axes.set_yticks([])
        axes.set_ylabel(
            "units" if len(shown) == num_units else f"{len(shown)} of {num_units} units",
            fontsize=style.TICK_POINTS,
            labelpad=7.0,
        )
        axes.set_xticks([])
        for row, unit in enumerate(shown):
            if int(unit) in carriers:
                axes.annotate(
                    "▸", xy=(0.0, row), xycoords=("axes fraction", "data"), xytext=(-2, 0), textcoords="offset points",
                    ha="right", va="center", fontsize=4.5, color=style.GREY, annotation_clip=False,
                )  # fmt: skip
        top -= height + _BETWEEN
    every = math.ceil(len(words) / MAX_WORDS)
    places = sorted({*range(0, len(words), every), *events, len(words) - 1})
    axes.set_xticks(places, [fonts.as_written(words[place]) for place in places], rotation=90)
    for place, label in zip(places, axes.get_xticklabels(), strict=True):
        label.set_fontweight("bold" if place in events else "normal")
    return page.figure
