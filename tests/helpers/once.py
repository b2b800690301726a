"""What tests need made once where jax and the page make it anew: a test's time goes there, not to what it tests.

A context of MLIR, with its dialects, takes as long as lowering a small program does, and each program has one of its
own. The scripts of a page are always the same, and bundling them takes as long as all else of a short command.
wandb's models describe their fields by what their sources say: to parse these is most of what importing wandb takes.
"""

from __future__ import annotations

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


def spare_messages():
    """A value that is traced has no sharding, and flax asks for it at each draw of a random number.

    jax answers by an error that says which operations the value comes from, at a third of the time in which a model is
    traced; flax never reads it.
    """
    from jax._src import core

    def sharding(tracer):
        raise AttributeError(f"The 'sharding' attribute is not available on {tracer._error_repr()}.")

    core.Tracer.sharding = property(sharding)


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


def skip_descriptions():
    """None for the fields of pydantic's models, which nobody here reads; the fields are as they are."""
    from pydantic._internal import _fields

    _fields.extract_docstrings_from_cls = lambda *_, **__: {}
