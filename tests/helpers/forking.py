"""Commands and workers in processes of their own that need not import jax and its kin again: forked from one that has.

`Forked` is what tests and sweeps use of `subprocess.Popen`. What a command needs of its process is as in a fresh one:
session, signals, working directory, umask, limits, environment, standard streams; the module that it runs is made anew.
A command whose environment says something else to jax than ours does, or to Python itself, needs a process that is
fresh; one that would find another copy of this project imports that one.
The workers of a forked command, and of a sweep in a test's own process, are forked from the same process as the command
is; those of a fresh command are fresh.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import importlib.machinery
import io
import json
import os
import pkgutil
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import once

AT_IMPORT = ("JAX", "PYTHON", "MPL", "LD_", "CUDA", "OMP_", "OPENBLAS", "LC_", "LANG")
"""Variables that count when Python starts or a package is imported, by how they begin."""
ENVIRONMENT = {}
"""That of the process to fork from: as tests/conftest.py leaves it, whatever a test sets when the first asks for it."""
FRESH = "FRESH_WORKERS"
"""In the environment of a command: its workers are not forked."""
LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
LIMITS_OF_OURS = {name: resource.getrlimit(number) for name, number in LIMITS.items()}
"""Those of the process to fork from, which is not to have those of a test that is the first to ask for it."""
MODULES = "jax, flax.nnx, optax, orbax.checkpoint, matplotlib.figure, scipy.stats, scipy.optimize, rich.console, tyro"
MODULES += ", jinja2, pandas, requests, pydantic.main, typeguard, platformdirs, packaging.version, PIL.PngImagePlugin"
MODULES += ", matplotlib.backends.backend_agg, matplotlib.backends.backend_svg"  # no wandb: importing it makes a folder
OURS = ("lstm_jax", "experiments")
"""Packages of this project that commands and workers find imported."""
SETS_THE_ENVIRONMENT = "lstm_jax.sweeps.executors.ray"
"""Of those the module that does when it is imported, which is to be that of the process."""
MESSAGE_BYTES = 2**20
ROOT = Path(__file__).parents[2]


def popen(module, argv, *, cwd, env, merged=False, fresh=False):
    """`python -m module argv` in a session of its own, its standard error beside its output or, `merged`, in it.

    A `fresh` process is one that nothing has been imported in: where it is what is tested, or timed.
    """
    if fresh or not _is_like(env):
        return _FRESH(
            [sys.executable, "-m", module, *argv],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_signals,
        )
    ends = [os.pipe() for _ in range(1 if merged else 2)]
    request = {"module": module, "argv": argv, "cwd": cwd, "env": env, "numbers": [1, 2]}
    pid = _line().fork(request, [ends[0][1], ends[-1][1]])
    for _, theirs in ends:
        os.close(theirs)
    streams = [io.TextIOWrapper(io.FileIO(ours, closefd=True)) for ours, _ in ends]
    return Forked(pid, streams[0], None if merged else streams[1])


def _hear_signals():
    """In a shell's background SIGINT is ignored, under nohup SIGHUP, and that is inherited."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Forked:
    """A forked process: pid, returncode, stdout and stderr, poll, wait, communicate, send_signal, kill, terminate."""

    def __init__(self, pid, stdout, stderr):
        self.pid, self.returncode = pid, None
        self.stdout, self.stderr = stdout, stderr

    def poll(self):
        if self.returncode is None:
            self.returncode = _line().status_of(self.pid, 0.0)
        return self.returncode

    def wait(self, timeout=None):
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = _line().status_of(self.pid, 0.05)
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
            with contextlib.suppress(ProcessLookupError):  # it has ended since, as in subprocess.Popen
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


class _Line:
    """This process's line to the one that all are forked from."""

    def __init__(self, line):
        self._line, self._statuses, self._lock = line, {}, threading.Lock()  # a sweep has a thread for each worker

    def fork(self, request, descriptors):
        """The pid of a new process that does what is asked for, and has these descriptors."""
        os.umask(umask := os.umask(0))
        limits = {name: resource.getrlimit(number) for name, number in LIMITS.items()}
        request |= {"cwd": str(request["cwd"] or os.getcwd()), "parent": os.getpid(), "umask": umask, "limits": limits}
        with self._lock:
            socket.send_fds(self._line, [json.dumps(request).encode()], descriptors)
            while "pid" not in (message := self._receive()):
                pass
            self._statuses.pop(message["pid"], None)  # of another process that had the number
        return message["pid"]

    def status_of(self, pid, seconds):
        with self._lock:
            if pid not in self._statuses:
                while select.select([self._line], [], [], seconds)[0] and pid not in self._statuses:
                    self._receive()
                    seconds = 0.0
            return self._statuses.get(pid)

    def _receive(self):
        message = json.loads(self._line.recv(MESSAGE_BYTES) or b"{}")
        if not message:
            raise RuntimeError("the process that others are forked from has ended")
        if "ended" in message:
            self._statuses[message["ended"]] = message["status"]
        return message


def _line():
    """This process's; two threads that start workers at once have the same."""
    with _starting:
        return _first_line()


_starting = threading.Lock()


@functools.cache
def _first_line():
    """In a forked process its own, which `become` has set; else to a process that is started for it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = _FRESH(
        [sys.executable, __file__, str(theirs.fileno())],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        start_new_session=True,
        preexec_fn=lambda: _set_limits(LIMITS_OF_OURS),
    )
    theirs.close()
    atexit.register(process.kill)
    return _Line(ours)


def _is_like(env):
    """Whether a process of this environment can be forked."""
    names = {name for name in {*env, *ENVIRONMENT} if name.startswith(AT_IMPORT)} - {"PYTHONPATH"}
    return all(env.get(name) == ENVIRONMENT.get(name) for name in names)


_FRESH = subprocess.Popen


class Popen(_FRESH):
    """`subprocess.Popen`, but that the workers of a sweep (executors/process.py) are forked."""

    def __new__(cls, args=(), *rest, **options):
        code = args[-1] if "pass_fds" in options and isinstance(args, list) and args[-2:-1] == ["-c"] else ""
        is_worker = "lstm_jax.sweeps.executors" in code
        if not is_worker or FRESH in os.environ or not _is_like(os.environ):
            return super().__new__(cls)
        numbers = [1, 2, *options["pass_fds"]]
        request = {"code": code, "cwd": None, "env": dict(os.environ), "numbers": numbers, "paths": sys.path}
        return Forked(_line().fork(request, numbers), None, None)


def serve(line):
    """Fork as asked, and say how each child ended; returns what a child is to do, its descriptors and line, in it."""
    exec(f"import {MODULES}")
    sys.path[0] = str(ROOT)  # it is this file's folder, which no command has
    for package in OURS:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name != SETS_THE_ENVIRONMENT:
                importlib.import_module(module.name)
    del sys.path[0]
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("an import has started a thread: what is forked from this process would lack it")
    once.share_contexts()
    once.spare_messages()
    once.share_scripts(os.environ["JAX_COMPILATION_CACHE_DIR"])
    once.skip_descriptions()
    importlib.import_module("lstm_jax.sweeps.sources").own_digest()  # each process of a sweep asks for it
    gc.collect()
    gc.set_threshold(10_000, 20, 50)
    gc.freeze()  # else each child looks through all that was imported, and copies it by doing so
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write)
    first, lines, asked_by = line, {line}, {}
    while True:
        ready = select.select([*lines, read], [], [])[0]
        if read in ready:
            os.read(read, 512)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                message = {"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])}
                with contextlib.suppress(OSError):  # the command that asked for this worker has ended before it
                    asked_by.pop(ended[0]).send(json.dumps(message).encode())
        for line in lines.intersection(ready):
            data, descriptors = b"", []
            with contextlib.suppress(ConnectionError):
                data, descriptors, _, _ = socket.recv_fds(line, MESSAGE_BYTES, 3)
            if not data:
                if line is first:
                    os._exit(0)
                lines.remove(line)
                line.close()
                continue
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for each in (read, write):
                    os.close(each)
                for each in (*lines, ours):
                    each.close()
                return json.loads(data), descriptors, theirs
            theirs.close()
            lines.add(ours)
            asked_by[pid] = line
            with contextlib.suppress(OSError):  # the command was killed since
                line.send(json.dumps({"pid": pid}).encode())
            for each in descriptors:
                os.close(each)


def become(request, descriptors, line):
    """Be the process of a command, or of a worker."""
    global _line
    mine = _Line(line)
    _line, subprocess.Popen = (lambda: mine), Popen
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    _set_limits(request["limits"])
    os.environ.clear()
    os.environ.update(request["env"])
    tempfile.tempdir = None  # found anew: TMPDIR may be another
    copies = [fcntl.fcntl(each, fcntl.F_DUPFD, 64) for each in descriptors]  # out of each other's way
    for each in descriptors:
        os.close(each)
    for copy, number in zip(copies, request["numbers"], strict=True):
        os.dup2(copy, number)
        os.close(copy)
    sys.stdout, sys.stderr = (open(number, "w", closefd=False, buffering=1) for number in (1, 2))  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.path[:] = request.get("paths") or ["", *request["env"].get("PYTHONPATH", "").split(os.pathsep), *sys.path]
    sys.path[:] = dict.fromkeys(sys.path)
    _forget_ours_unless_found()
    if "code" in request:  # a worker ends with the process that asked for it, which is not its parent here
        os.getppid = lambda: request["parent"] if _is_alive(request["parent"]) else 1
        exec(request["code"], {"__name__": "__main__"})
        return
    os.setsid()
    sys.argv[:] = [request["module"], *request["argv"]]
    _forget(lambda name: name == request["module"])  # else runpy says that it has been imported
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _set_limits(limits):
    for name, limit in limits.items():
        if resource.getrlimit(LIMITS[name]) != tuple(limit):
            resource.setrlimit(LIMITS[name], limit)


def _forget_ours_unless_found():
    """Of this project's packages those that this process would find elsewhere: in a copy that a test has made."""
    for package in OURS:
        found = importlib.machinery.PathFinder.find_spec(package)
        if found is None or found.origin != sys.modules[package].__file__:
            _forget(lambda name, package=package: name.partition(".")[0] == package)


def _forget(is_meant):
    for name in [name for name in sys.modules if is_meant(name)]:
        package, _, last = name.rpartition(".")
        module = sys.modules.pop(name)
        if vars(sys.modules.get(package, module)).get(last) is module:
            delattr(sys.modules[package], last)


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    ENVIRONMENT |= os.environ
    become(*serve(socket.socket(fileno=int(sys.argv[1]))))
