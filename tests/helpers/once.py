"""What tests need made once where jax and the page make it anew: a test's time goes there, not to what it tests.

A context of MLIR, with its dialects, takes as long as lowering a small program does, and each program has one of its
own. The scripts of a page are always the same, and bundling them takes as long as all else of a short command.
The sources of a commit are what they are, and each process of a sweep parses them for its digest.
"""

from __future__ import annotations

import ast
import functools
import os
import threading
from pathlib import Path


def share_contexts():
    """One context for all programs that a thread lowers."""
    from jax._src.interpreters import mlir

    make_anew, ours = mlir.make_ir_context, threading.local()

    @functools.wraps(make_anew)
    def make():
        if getattr(ours, "process", None) != os.getpid():  # in a fork another
            ours.process, ours.context = os.getpid(), make_anew()
        return ours.context

    mlir.make_ir_context = make


def share_scripts(directory):
    """The scripts of a page as the first process of these tests has bundled them."""
    import vl_convert

    bundle_anew, file = vl_convert.javascript_bundle, Path(directory) / f"vega-{vl_convert.__version__}.js"

    @functools.wraps(bundle_anew)
    def bundle(*args, **kwargs):
        if args or kwargs:
            return bundle_anew(*args, **kwargs)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f"{file.name}.{os.getpid()}")
            part.write_text(bundle_anew(), encoding="utf-8")
            part.replace(file)
        return file.read_text(encoding="utf-8")

    vl_convert.javascript_bundle = bundle


def share_trees(directory):
    """The syntax trees of our sources, which each process of a sweep digests (lstm_jax/sweeps/sources.py)."""
    parse_anew = ast.parse
    trees = {file.read_bytes(): parse_anew(file.read_bytes()) for file in directory.rglob("*.py")}

    @functools.wraps(parse_anew)
    def parse(source, *args, **kwargs):
        shared = None if args or kwargs or not isinstance(source, bytes) else trees.get(source)
        return parse_anew(source, *args, **kwargs) if shared is None else shared

    ast.parse = parse
