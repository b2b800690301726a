"""The Ray executor on a real cluster of two nodes, one of which dies in the middle, and on a Ray of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import faults
import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
pytest.importorskip("ray")

# Two jobs of a few seconds each.
SWEEP = [*faults.SWEEP, "--cells", "rnn", "--gaps", "3", "4", "--max-steps", "2500", "--wandb", "disabled"]


def start(out, *arguments, **environment):
    return faults.start(out, *arguments, sweep=SWEEP, **environment)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same sweep in one process."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, output = faults.finish(start(out, *faults.SERIAL))
    assert status == 0, output
    return out


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
head = {"num_cpus": 1, "include_dashboard": False, "_system_config": {"health_check_period_ms": 1000}}
cluster = Cluster(initialize_head=True, head_node_args=head)
node = cluster.add_node(num_cpus=1)
print(cluster.address, node.all_processes["raylet"][0].process.pid, flush=True)
if sys.stdin.readline():
    cluster.remove_node(node, allow_graceful=False)
    sys.stdin.readline()
cluster.shutdown()
"""
"""A head and another node, of a core each. A line kills the node, the end of the input the cluster.

The head asks each second, not every third, who is there; who does not answer five times is dead.
"""


class Cluster(NamedTuple):
    """A cluster in a process of its own; who comes in needs the token in the environment."""

    process: subprocess.Popen
    environment: dict[str, str]
    address: str
    second_raylet: int


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's, or the user's, may be too long for sockets
        environment = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", CLUSTER], env=os.environ | environment, **pipes) as process:
            address, second_raylet = process.stdout.readline().split()
            yield Cluster(process, environment, address, int(second_raylet))


def started(process, out, is_meant=lambda pid: True):
    """The name of a job that has made updates in a process that is meant."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for file in (out / "jobs").glob("*-gap*.json"):
            status = json.loads(file.read_text())
            if status["state"] == "running" and status["num_updates"] > 0 and is_meant(status["pid"]):
                return file.stem
        time.sleep(0.02)
    raise AssertionError(f"nothing was trained: {faults.finish(process)[1]}")


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_temporary_directory_of_a_long_path_is_one_line(tmp_path):
    """Sockets have paths of at most 107 bytes."""
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    status, output = faults.finish(start(tmp_path / "out", "--executor", "ray", RAY_TMPDIR=str(folder)))
    last = output.splitlines()[-1]  # Ray may speak before it, of a network that is not there
    assert status == 2 and last.startswith("error: executor: got ray, which can't start on this machine ("), output
    assert "RAY_TMPDIR" in last and "Traceback" not in output


def test_a_node_dies_and_its_job_is_done_by_the_other(tmp_path, cluster, undisturbed):
    out = tmp_path / "out"
    process = start(out, "--executor", "ray", "--ray.address", cluster.address, **cluster.environment)
    lost = started(process, out, lambda pid: parent_of(pid) == cluster.second_raylet)
    print("kill", file=cluster.process.stdin, flush=True)
    status, output = faults.finish(process)
    assert status == 0 and "Traceback" not in output, output
    assert output.count("its worker died") == 1 and f"warning: {lost}: its worker died" in output, output
    assert faults.table(out) == faults.table(undisturbed)


@pytest.mark.long
def test_signals_save_and_the_command_goes_on(tmp_path, cluster, undisturbed):
    """SIGTERM, with a Ray of the sweep's own; Ctrl-C, which reaches all processes of a terminal, on a cluster."""
    out = tmp_path / "out"
    on_cluster = ["--executor", "ray", "--ray.address", cluster.address]
    for number, arguments, environment in (
        (signal.SIGTERM, ["--executor", "ray"], {}),
        (signal.SIGINT, on_cluster, cluster.environment),
    ):
        saved = set((out / "checkpoints").glob("*/running-*"))
        process = start(out, *arguments, "--checkpoint-seconds", "inf", **environment)
        started(process, out)
        then = time.monotonic()
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        status, output = faults.finish(process)
        assert (status, time.monotonic() - then < 10) == (128 + number, True), output
        assert "Traceback" not in output and "repeat the command to go on" in output
        assert faults.all_gone(process.pid)
        assert set((out / "checkpoints").glob("*/running-*")) - saved, "nothing was saved"
        assert len(faults.table(out)) < len(faults.table(undisturbed))
    status, output = faults.finish(start(out, *on_cluster, **cluster.environment))
    assert status == 0, output
    assert faults.table(out) == faults.table(undisturbed)


def test_an_address_where_nobody_is(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        then = time.monotonic()
        status, output = faults.finish(start(tmp_path / "out", "--executor", "ray", "--ray.address", address))
    assert status == 2 and time.monotonic() - then < 15
    assert output.startswith(f"error: ray.address: got {address}, which can't be reached (") and output.count("\n") == 1


def test_more_than_this_machine_has(tmp_path):
    status, output = faults.finish(start(tmp_path / "out", "--executor", "ray", "--ray.cpus", "5000"))
    assert status == 2, output
    assert output.startswith("error: ray.cpus: got 5000; expected at most ") and output.count("\n") == 1
