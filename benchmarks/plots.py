"""The figure of docs/performance.md, from the files that the benchmarks write.

python -m benchmarks.plots docs/results/performance      # reads length.csv, sweeps_runs.csv and sweeps_gap.csv there
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lstm_jax.report.style import cell_styles, plain_axes, save


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def against_length(axes: Axes, rows: list[dict[str, str]], column: str, scale: float, label: str) -> None:
    """A curve for each way of keeping what the backward pass needs."""
    modes = list(dict.fromkeys(row["backward"] for row in rows))
    for mode, look in cell_styles(modes).items():
        points = [(int(row["num_steps"]), scale * float(row[column])) for row in rows if row["backward"] == mode]
        axes.plot(*zip(*points, strict=True), color=look.colour, marker=look.marker, markersize=4, linewidth=1, label=mode)
    axes.set(xscale="log", yscale="log", xlabel="time steps", ylabel=label)


def main() -> None:
    """Draw `performance.png` and `.svg` beside the files."""
    folder = Path(sys.argv[1])
    figure, panels = plt.subplots(2, 2, figsize=(7.0, 5.2), layout="constrained")
    length, runs, gaps = (read(folder / name) for name in ("length.csv", "sweeps_runs.csv", "sweeps_gap.csv"))
    sizes = f"LSTM, {length[0]['hidden_dim']} units, batch {length[0]['batch_size']}"
    against_length(panels[0, 0], length, "step_seconds", 1.0, "seconds, one training step")
    panels[0, 0].set_title(f"Time of a training step\n{sizes}", fontsize=9)
    panels[0, 0].legend(fontsize=7, frameon=False)
    against_length(panels[0, 1], length, "temp_bytes", 2**-20, "MiB of temporary memory")
    panels[0, 1].set_title(f"Memory of a training step\n{sizes}", fontsize=9)
    numbers = [int(row["runs"]) for row in runs]
    axes = panels[1, 0]
    axes.plot(numbers, [float(row["runs_per_hour"]) for row in runs], "o-", color="#0072B2", label="from start to end")
    training = [float(row["runs_per_hour_of_training"]) for row in runs]
    axes.plot(numbers, training, "s--", color="#D55E00", label="training alone")
    axes.set(xscale="log", xlabel="runs in the sweep", ylabel="runs an hour")
    axes.set_ylim(bottom=0)
    axes.set_title(f"Runs an hour, LSTM at gap 40\n{runs[0]['cores']} cores, one lane each", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    axes = panels[1, 1]
    each = [float(row["microseconds_per_update_and_time_step"]) for row in gaps]
    axes.plot([int(row["gap"]) for row in gaps], each, "o-", color="#0072B2")
    axes.set(xscale="log", xlabel="gap (time steps)", ylabel="µs an update and time step")
    axes.set_ylim(0, 1.3 * max(each))
    axes.set_title("Cost of a time step\nflat: a run's cost is linear in the gap", fontsize=9)
    for each_panel in panels.flat:
        plain_axes(each_panel)
    print(save(figure, [folder / "performance.png", folder / "performance.svg"])[0])


if __name__ == "__main__":
    main()
