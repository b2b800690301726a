"""What one training step of a recurrent layer costs, by us and by other libraries, side by side in one process.

    python -m benchmarks.step                                # all cores
    python -m benchmarks.step --threads 1 --out results/benchmarks/step_one_thread.csv

All have the same weights, data, loss and optimizer; a peer whose outputs, gradients or update are not ours is refused
(peer.py). Then they take turns, in another order each round. A ratio above 1 says that we are faster. The roof is what
the best large float32 matmul reaches, and a row's part of it counts the arithmetic of matrix products alone. On a GPU
all multiply in full float32, which is the default of few.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.metadata
import os
import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from benchmarks.machine import device_name
from benchmarks.options import options, refuse

if TYPE_CHECKING:
    from benchmarks.peer import Peer, What  # jax is imported once the cores are chosen

Kind = Literal["lstm", "gru", "rnn"]
SHAPES = ("32x100x64", "32x200x32", "128x500x128", "16x1000x128", "256x200x256")
MIN_ROUNDS, BUDGET_SECONDS = 5, 20.0
"""A kind and shape gets as many rounds as fit into the budget, however long the least number of them takes."""
PAUSE_SECONDS = 0.01
"""Before each call: PyTorch's second thread keeps a core busy for about 5 ms after its work is done."""
LIBRARIES = ("jax", "flax", "dm-haiku", "equinox", "torch")


class Row(NamedTuple):
    """A line of the CSV file; times are microseconds a time step."""

    device: str
    threads: int
    kind: str
    batch: int
    steps: int
    hidden: int
    implementation: str
    what: str
    compile_seconds: float | None
    median_us_per_time_step: float
    q25: float
    q75: float
    ratio_to_ours: float
    roof_fraction: float
    temp_bytes: int | None


def pin(threads: int) -> None:
    """Keep this process to some cores; before jax is imported, which counts them then."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()


def roofs() -> dict[int, float]:
    """FLOP/s of a large square float32 matmul, by the number of threads: the best call of jax or PyTorch."""
    import jax
    import jax.numpy as jnp

    from lstm_jax.sweeps.machine import num_cores

    cores, on_gpu = num_cores(), jax.default_backend() == "gpu"
    size = 8192 if on_gpu else 2048

    def best(call: Callable[[], Any]) -> float:
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        return 2 * size**3 / min(seconds)

    a, product = jnp.ones((size, size)), jax.jit(jnp.matmul)
    found = {cores: best(lambda: product(a, a).block_until_ready())}
    try:
        import torch
    except ImportError:
        return found
    if on_gpu and not torch.cuda.is_available():
        return found
    b = torch.ones(size, size, device="cuda" if on_gpu else "cpu")

    def torch_product() -> None:
        b @ b
        if on_gpu:
            torch.cuda.synchronize()

    for threads in {1, cores}:
        torch.set_num_threads(threads)
        found[threads] = max(found.get(threads, 0.0), best(torch_product))
    return found


def gemm_flops(num_gates: int, batch: int, steps: int, hidden: int, what: What) -> float:
    """Arithmetic of the matrix products with D = H; a step needs no gradient of the inputs."""
    of_hidden = of_inputs = 2 * batch * steps * hidden * num_gates * hidden
    forward = of_inputs + of_hidden
    return forward if what == "forward" else 3 * forward - of_inputs


def measure(peers: list[Peer], repeats: int) -> dict[tuple[int, What], list[float]]:
    """Seconds of each peer's `forward` and `step`, all taking turns, one call a round."""
    calls: list[tuple[int, What]] = [(number, what) for number in range(len(peers)) for what in ("forward", "step")]
    seconds: dict[tuple[int, What], list[float]] = {call: [] for call in calls}
    shuffle = random.Random(0).shuffle
    started = time.perf_counter()
    for done in range(repeats):
        if done >= MIN_ROUNDS and (time.perf_counter() - started) * (done + 1) / done > BUDGET_SECONDS:
            break
        shuffle(calls)
        for number, what in calls:
            peer = peers[number]
            call = peer.forward if what == "forward" else peer.step
            peer.prepare()
            time.sleep(PAUSE_SECONDS)
            before = time.perf_counter()
            call()
            seconds[number, what].append(time.perf_counter() - before)
    return seconds


def rows_of(kind: str, shape: tuple[int, int, int], device: str, roof: dict[int, float], repeats: int) -> list[Row]:
    """Build, check and time all peers at one shape."""
    from benchmarks.peer import check, make_problem, reference
    from benchmarks.peers import make_peers

    problem = make_problem(kind, *shape)
    expected = reference(problem)
    peers, left_out = make_peers(problem)
    compiled: dict[tuple[int, What], tuple[float | None, int | None]] = {}
    worst = 0.0
    for number, peer in enumerate(peers):
        peer.prepare()
        compiled |= {(number, "forward"): peer.compile("forward"), (number, "step"): peer.compile("step")}
        worst = max(worst, check(peer, problem, expected))
    seconds = measure(peers, repeats)
    print(f"  all agree to {worst:.1e}; {len(seconds[0, 'step'])} rounds", flush=True)
    for name, why in left_out.items():
        print(f"  without {name}: {why}")

    rows = []
    for (number, what), (compile_seconds, temp_bytes) in compiled.items():
        own = seconds[number, what]
        median = statistics.median(own)
        q25, _, q75 = statistics.quantiles(own, n=4, method="inclusive") if len(own) > 1 else own * 3
        microseconds = (1e6 * each / problem.inputs.shape[0] for each in (median, q25, q75))
        ratio = median / statistics.median(seconds[0, what])
        fraction = gemm_flops(problem.cell.num_gates, *shape, what) / median / roof[peers[number].threads]
        start = (device, peers[number].threads, kind, *shape, peers[number].name, what, compile_seconds)
        rows.append(Row(*start, *microseconds, ratio, fraction, temp_bytes))
    return rows


def print_table(rows: list[Row]) -> None:
    """For a person to read."""
    print(
        f"  {'implementation':22} {'threads':>7}  {'what':7} {'µs/time step':>12} {'quartiles':>19} {'ratio':>6} "
        f"{'roof':>6} {'compile s':>9} {'temp MiB':>9}"
    )
    for row in rows:
        quartiles = f"{row.q25:.2f} - {row.q75:.2f}"
        compile_seconds = "" if row.compile_seconds is None else f"{row.compile_seconds:.2f}"
        mebibytes = "" if row.temp_bytes is None else f"{row.temp_bytes / 2**20:.2f}"
        print(
            f"  {row.implementation:22} {row.threads:>7}  {row.what:7} {row.median_us_per_time_step:>12.2f} "
            f"{quartiles:>19} {row.ratio_to_ours:>6.2f} {row.roof_fraction:>6.1%} {compile_seconds:>9} {mebibytes:>9}"
        )


@dataclasses.dataclass(frozen=True)
class Step:
    """Time a training step of a recurrent layer, by us and by other libraries."""

    kinds: tuple[Kind, ...] = ("lstm", "gru", "rnn")
    """Cells."""
    shapes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="BxTxH [BxTxH ...]")] = SHAPES
    """Batch, time steps and hidden units."""
    repeats: int = 40
    """Rounds at most."""
    threads: int | None = None
    """Cores to keep to. None: all."""
    out: Path = Path("results/benchmarks/step.csv")
    """The CSV file to write."""


def shape_of(text: str) -> tuple[int, int, int]:
    """`32x100x64` as batch, steps, hidden; exits with one line where it is another text."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        refuse(f"step: shapes: got {text!r}; expected batch, steps and hidden units, as in 32x100x64")
    batch, steps, hidden = (int(part) for part in text.split("x"))
    return batch, steps, hidden


def main() -> None:
    """Print the tables as they come, and write the CSV file."""
    args = options(Step, "step")
    shapes = [shape_of(text) for text in args.shapes]
    if args.threads:
        pin(args.threads)
    load = os.getloadavg()[0]

    import jax

    if jax.default_backend() == "gpu":
        jax.config.update("jax_default_matmul_precision", "float32")  # TF32 otherwise, too coarse to check by
    device, roof = device_name(), roofs()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES if _is_installed(name)]
    print(f"{device}; {', '.join(versions)}; XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r} (jax's defaults if empty)")
    roof_texts = [f"roof with {threads} threads: {flops / 1e9:.1f} GFLOP/s" for threads, flops in sorted(roof.items())]
    # Threads that wait for each other take many times as long on cores that others use too.
    print(f"{'; '.join(roof_texts)}; load of the machine at the start: {load:.1f}")

    args.out.parent.mkdir(parents=True, exist_ok=True)
    cases = [(kind, shape) for kind in args.kinds for shape in shapes]
    started = time.perf_counter()
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        for done, (kind, shape) in enumerate(cases):
            left = (time.perf_counter() - started) / done * (len(cases) - done) / 60 if done else None
            about = "" if left is None else f", about {left:.0f} min left"
            print(f"\n[{done + 1}/{len(cases)}] {kind}, B T H = {' '.join(map(str, shape))}{about}", flush=True)
            rows = rows_of(kind, shape, device, roof, args.repeats)
            writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
            file.flush()
            print_table(rows)
    print(f"\nwritten to {args.out}")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
