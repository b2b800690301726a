"""The figure of docs/performance.md, from the files that the benchmarks write.

python -m benchmarks.plots docs/results/performance      # reads length.csv, sweeps_runs.csv and sweeps_gap.csv there
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import matplotlib
import tyro

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.options import options
from benchmarks.tables import read
from lstm_jax.figures.style import cell_styles, plain_axes, save


@dataclasses.dataclass(frozen=True)
class Plots:
    """Draw the figure of docs/performance.md."""

    directory: tyro.conf.Positional[Path]
    """Where length.csv, sweeps_gap.csv, sweeps_runs.csv and sweeps_lanes.csv are; the figure is written beside them."""


def against_length(axes: Axes, rows: list[dict[str, str]], column: str, scale: float, label: str) -> None:
    """A curve for each way of keeping what the backward pass needs."""
    for mode, look in cell_styles(list(dict.fromkeys(row["backward"] for row in rows))).items():
        points = [(int(row["num_steps"]), scale * float(row[column])) for row in rows if row["backward"] == mode]
        axes.plot(
            *zip(*points, strict=True), look.marker + "-", color=look.colour, markersize=4, linewidth=1, label=mode
        )
    axes.set(xscale="log", yscale="log", xlabel="time steps", ylabel=label)


def against(axes: Axes, rows: list[dict[str, str]], x: str, columns: dict[str, str], labels: tuple[str, str]) -> None:
    """A curve for each column, from zero up."""
    for column, look in cell_styles(list(columns)).items():
        values = [float(row[column]) for row in rows]
        numbers = [int(row[x]) for row in rows]
        axes.plot(
            numbers, values, look.marker + "-", color=look.colour, markersize=4, linewidth=1, label=columns[column]
        )
    axes.set(xscale="log", xlabel=labels[0], ylabel=labels[1])
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])


def main() -> None:
    """Draw `performance.png` and `.svg` beside the files."""
    folder = options(Plots, "plots").directory
    names = ("length", "sweeps_gap", "sweeps_runs", "sweeps_lanes")
    length, gaps, runs, lanes = (read(folder / f"{name}.csv") for name in names)
    figure, panels = plt.subplots(2, 3, figsize=(10.0, 5.4), layout="constrained")
    sizes = f"LSTM, {length[0]['hidden_dim']} units, batch {length[0]['batch_size']}"
    against_length(panels[0, 0], length, "step_seconds", 1.0, "seconds")
    panels[0, 0].set_title(f"Time of a training step\n{sizes}", fontsize=9)
    against_length(panels[0, 1], length, "temp_bytes", 2**-20, "MiB of temporary memory")
    panels[0, 1].set_title(f"Memory of a training step\n{sizes}", fontsize=9)
    panels[0, 2].axis("off")
    panels[0, 2].legend(
        *panels[0, 0].get_legend_handles_labels(), title="kept for the backward pass", loc="center", fontsize=8
    )
    cost = {"microseconds_per_update_and_time_step": "a run"}
    against(panels[1, 0], gaps, "gap", cost, ("gap (time steps)", "µs an update and time step"))
    panels[1, 0].set_title("Cost of a time step\nflat: the cost of a run is linear in the gap", fontsize=9)
    rates = {"runs_per_hour": "from start to end", "runs_per_hour_of_training": "training alone"}
    against(panels[1, 1], runs, "runs", rates, ("runs in the sweep", "runs an hour"))
    panels[1, 1].set_title(
        f"Runs an hour, LSTM at gap 40\n{runs[0]['cores']} cores, one lane on each, 600 updates", fontsize=9
    )
    panels[1, 1].legend(fontsize=7.5, frameon=False)
    rate = {"runs_per_hour_of_training": "training alone"}
    against(panels[1, 2], lanes, "lanes_per_device", rate, ("runs side by side in one program", "runs an hour"))
    panels[1, 2].set_title("Runs an hour, LSTM at gap 40\none worker, 100 updates a run", fontsize=9)
    for axes in (*panels[0, :2], *panels[1]):
        plain_axes(axes)
    print(save(figure, folder / "performance")[0])


if __name__ == "__main__":
    main()
