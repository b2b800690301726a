"""Commands in processes of their own that need not import jax and its kin again: forked from one that has.

`Forked` is what tests use of `subprocess.Popen`. What a command needs of its process is as in a fresh one: session,
signals, working directory, environment, standard streams; the modules of this project are imported anew. A command
whose environment says something else to jax than ours does, or to Python itself, needs a process that is fresh.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import once

AT_IMPORT = ("JAX", "PYTHON", "MPL", "LD_", "CUDA", "OMP_", "OPENBLAS", "LC_", "LANG")
"""Variables that count when Python starts or a package is imported, by how they begin."""
ENVIRONMENT = {}
"""That of the process to fork from: as tests/conftest.py leaves it, whatever a test sets when the first asks for it."""
LIMITS = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
MODULES = "jax, flax.nnx, optax, orbax.checkpoint, matplotlib.figure, scipy.stats, scipy.optimize, rich.console, tyro"
MESSAGE_BYTES = 2**20


def popen(module, argv, *, cwd, env, merged=False, fresh=False):
    """`python -m module argv` in a session of its own, its standard error beside its output or, `merged`, in it.

    A `fresh` process is one that nothing has been imported in: where it is what is tested, or timed.
    """
    if fresh or not _parent().is_like(env):
        return subprocess.Popen(
            [sys.executable, "-m", module, *argv],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_signals,
        )
    return _parent().fork(module, argv, cwd, env, merged)


def _hear_signals():
    """In a shell's background SIGINT is ignored, under nohup SIGHUP, and that is inherited."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Forked:
    """A forked command: pid, returncode, stdout and stderr, poll, wait, communicate, send_signal, kill, terminate."""

    def __init__(self, parent, pid, stdout, stderr):
        self._parent, self.pid, self.returncode = parent, pid, None
        self.stdout, self.stderr = stdout, stderr

    def poll(self):
        if self.returncode is None:
            self.returncode = self._parent.status_of(self.pid, 0.0)
        return self.returncode

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = self._parent.status_of(self.pid, 0.05)
        return self.returncode

    def communicate(self, timeout=None):
        said = {}

        def read(name):
            said[name] = getattr(self, name).read()

        readers = [threading.Thread(target=read, args=[name], daemon=True) for name in ("stdout", "stderr")]
        readers = [reader for reader, stream in zip(readers, (self.stdout, self.stderr), strict=True) if stream]
        for reader in readers:
            reader.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        for reader in readers:
            reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
        self.wait(None if deadline is None else max(1.0, deadline - time.monotonic()))
        return said["stdout"], said.get("stderr")

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for stream in filter(None, (self.stdout, self.stderr)):
            stream.close()
        self.wait()


class _Parent:
    """The process that has imported everything, and this one's end of the line to it."""

    def __init__(self):
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._statuses = {}
        atexit.register(self._process.kill)

    def is_like(self, env):
        """Whether a process of this environment, and of our limits of now, can be forked from it."""
        names = {name for name in {*env, *ENVIRONMENT} if name.startswith(AT_IMPORT)} - {"PYTHONPATH"}
        same_limits = all(resource.getrlimit(getattr(resource, name)) == limit for name, limit in LIMITS.items())
        return same_limits and all(env.get(name) == ENVIRONMENT.get(name) for name in names)

    def fork(self, module, argv, cwd, env, merged):
        ends = [os.pipe() for _ in range(1 if merged else 2)]
        request = {"module": module, "argv": argv, "cwd": str(cwd or os.getcwd()), "env": env, "merged": merged}
        socket.send_fds(self._line, [json.dumps(request).encode()], [theirs for _, theirs in ends])
        for _, theirs in ends:
            os.close(theirs)
        while True:
            message = self._receive()
            if "pid" in message:
                break
        self._statuses.pop(message["pid"], None)  # of another process that had the number
        streams = [io.TextIOWrapper(io.FileIO(ours, closefd=True)) for ours, _ in ends]
        return Forked(self, message["pid"], streams[0], None if merged else streams[1])

    def status_of(self, pid, seconds):
        if pid not in self._statuses:
            while select.select([self._line], [], [], seconds)[0] and pid not in self._statuses:
                self._receive()
                seconds = 0.0
        return self._statuses.get(pid)

    def _receive(self):
        message = json.loads(self._line.recv(MESSAGE_BYTES) or b"{}")
        if not message:
            raise RuntimeError("the process that commands are forked from has ended")
        if "ended" in message:
            self._statuses[message["ended"]] = message["status"]
        return message


@functools.cache
def _parent():
    return _Parent()


def serve(line):
    """Fork as asked, and say how each child ended; returns what a child is to run, in the child."""
    exec(f"import {MODULES}")
    once.share_contexts()
    once.share_scripts(os.environ["JAX_COMPILATION_CACHE_DIR"])
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write)
    while True:
        ready = select.select([line, read], [], [])[0]
        if read in ready:
            os.read(read, 512)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                line.send(json.dumps({"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])}).encode())
        if line not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 2)
        if not data:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for each in (read, write):
                os.close(each)
            line.close()
            return json.loads(data), descriptors
        line.send(json.dumps({"pid": pid}).encode())
        for each in descriptors:
            os.close(each)


def become(request, descriptors):
    """Be the process of a command."""
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.dup2(descriptors[0], 1)
    os.dup2(descriptors[-1], 2)
    for each in descriptors:
        os.close(each)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False, buffering=1) for number in (1, 2))  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    paths = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = ["", *paths, *(path for path in sys.path[1:] if path not in paths)]
    sys.argv[:] = [request["module"], *request["argv"]]


if __name__ == "__main__":
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
