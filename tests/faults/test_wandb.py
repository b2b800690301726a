"""wandb unreachable, a wrong key, its process killed: a warning, offline runs, the same results, little time lost."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import threading
import time
from pathlib import Path

import faults
import pytest
from test_kills import kind_of

KEY = {"WANDB_API_KEY": "0" * 40}


class Refuses(http.server.BaseHTTPRequestHandler):
    """A server that knows nobody's key."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def logged(out):
    return {file.name for file in (out / "wandb").glob("offline-run-*/run-*.wandb")}


@pytest.mark.parametrize(
    "how",
    ["unreachable", pytest.param("wrong key", marks=pytest.mark.long), pytest.param("no key", marks=pytest.mark.long)],
)
def test_online_is_not_to_be_had(tmp_path, undisturbed, refusing_server, capsys, how):
    environment = {
        "unreachable": {**KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"},
        "wrong key": {**KEY, "WANDB_BASE_URL": refusing_server},
        "no key": {"WANDB_BASE_URL": refusing_server, "HOME": str(tmp_path)},
    }[how]
    out = tmp_path / "out"
    started = time.monotonic()
    status, output = faults.run(tmp_path / "quiet", *faults.SERIAL)
    seconds_without = time.monotonic() - started
    assert status == 0
    started = time.monotonic()
    status, output = faults.run(out, *faults.SERIAL, "--wandb", "online", **environment)
    lost = time.monotonic() - started - seconds_without
    assert status == 0 and "Traceback" not in output, output
    assert output.count("warning: wandb can't go online") == 1 and "0" * 40 not in output
    assert faults.table(out) == faults.table(undisturbed)
    assert len(logged(out)) == len(faults.table(out))
    faults.say(capsys, f"wandb {how}: {lost:.1f} s more than without wandb, {len(logged(out))} offline runs")
    assert lost < 15  # ten of the server's, the rest is wandb's own start and another day on the same machine


@pytest.mark.long
@pytest.mark.parametrize("num_logged", [0, 1])
def test_its_process_is_killed(tmp_path, undisturbed, num_logged):
    """As it starts, or in the middle."""
    out = tmp_path / "out"
    process = faults.start(out, *faults.SERIAL, "--wandb", "offline")
    num_killed = 0
    while process.poll() is None and num_killed < 1:
        if len(logged(out)) < num_logged:
            continue
        for pid in faults.processes_of(process.pid):
            if kind_of(pid, process.pid) == "wandb-core":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    num_killed += 1
        time.sleep(0.01)
    status, output = faults.finish(process)
    assert num_killed > 0 and status == 0, output
    assert "warning: wandb" in output and "Traceback" not in output, output
    assert faults.table(out) == faults.table(undisturbed)
    status, output = faults.run(out, *faults.SERIAL, "--wandb", "offline")  # what was not logged is logged now
    assert status == 0, output
    assert len(logged(out)) == len(faults.table(out))


def test_no_secret_is_written_anywhere(tmp_path):
    """Neither the key nor the environment goes to disk or to the terminal."""
    out = tmp_path / "out"
    secret = "5ec7e7" * 6 + "5ec7"
    status, output = faults.run(
        out,
        *faults.SERIAL,
        "--wandb",
        "offline",
        "--max-steps",
        "30",
        draws=True,
        WANDB_API_KEY=secret,
        MY_TOKEN=f"x{secret}",
    )
    assert status == 0 and secret not in output
    files = [path for path in Path(out).rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
