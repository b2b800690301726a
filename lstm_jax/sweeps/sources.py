"""Digests of the code that numbers come from: ours, and the user's own. No jax.

A digest is of the syntax tree, so that comments, docstrings and layout don't count. It is the same for all versions of
Python in which the source means the same.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import re
import site
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_jax.registry import Spec, is_as_before, load

PACKAGES = ("lstm_jax", "jax", "jaxlib", "flax", "optax", "numpy")
"""What the numbers of a run depend on, by version; of lstm_jax also by `own_digest`."""
_MAKE_NO_NUMBERS = (
    "analysis/",
    "diagnostics/",
    "figures/",
    "sweeps/",
    "__init__.py",
    "api.py",
    "arrays.py",
    "errors.py",
    "files.py",
    "signals.py",
    "terminal.py",
)
_BUT_DO = ("sweeps/worker/vmapped.py",)
"""Where the updates of a run are counted and its end is decided."""


@functools.cache
def own_digest() -> str:
    """A digest of those files of lstm_jax that make numbers: a checkout that was edited is another version."""
    root = Path(__file__).parents[1]
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    chosen = [name for name in names if not name.startswith(_MAKE_NO_NUMBERS) or name in _BUT_DO]
    return _digest("\n".join(f"{name} {_file_digest(root / name)}" for name in chosen))


@functools.cache
def folder_digest(name: str) -> str:
    """A digest of the sources in a folder of lstm_jax, for what is recorded by other means than a sweep."""
    root = Path(__file__).parents[1] / name
    return _digest("\n".join(f"{path.name} {_file_digest(path)}" for path in sorted(root.glob("*.py"))))


def version_changes(was: str, now: str) -> list[str]:
    """What differs between two texts of versions, one entry per package; our sources may differ in text alone.

    `equivalent_sources.txt` has a line per set of numbers: the digests of all sources that make just these.
    """
    before, after = (dict(entry.split() for entry in text.split(", ")) for text in (was, now))
    return [
        f"{name} {before.get(name, 'missing')} there, {after.get(name, 'missing')} here"
        for name in sorted(before.keys() | after.keys())
        if canonical(before.get(name, "")) != canonical(after.get(name, ""))
    ]


def canonical(text: str) -> str:
    """The text of versions with one of ours in place of all that make the same numbers."""
    for versions in known_versions():
        for version in versions:
            text = text.replace(version, min(versions))
    return text


@functools.cache
def known_versions() -> list[set[str]]:
    """Versions of lstm_jax with the digests of their sources, in sets that make the same numbers."""
    lines = (Path(__file__).parent / "equivalent_sources.txt").read_text().splitlines()
    return [set(line.split()) for line in lines if line and not line.startswith("#")]


def code_digest(value: Any) -> str:
    """A digest of `value` as `describe` has it, and of the user's own modules that its classes and functions are of."""
    modules = sorted({name for cls in _classes_of(value) for name in _own_modules(cls.__module__)})
    return _digest("\n".join([repr(describe(value)), *(f"{name} {_module_digest(name)}" for name in modules)]))


def describe(value: Any) -> Any:
    """A dataclass as plain data: each class by its name, with its fields as they are; no addresses in memory.

    A field that came later is left out where it has the value that all had before it: `registry.is_as_before`.
    """
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, functools.partial):
        return [describe(value.func), describe(value.args), describe(value.keywords)]
    if dataclasses.is_dataclass(value):
        values = {field: getattr(value, field.name) for field in dataclasses.fields(value)}
        fields = {field.name: describe(each) for field, each in values.items() if not is_as_before(field, each)}
        return [describe(type(value)), fields]
    if isinstance(value, dict):
        return sorted((repr(key), describe(item)) for key, item in value.items())
    if isinstance(value, tuple | list):
        return [describe(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(describe(item)) for item in value)
    if hasattr(value, "tobytes") and hasattr(value, "shape"):  # an array, whose repr may leave most of it out
        return [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _classes_of(value: Any) -> Iterator[Any]:
    """The classes and functions in `value`, with those that they derive from."""
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, Spec):  # stands for what it names
        if ":" in value.name:
            yield from _classes_of(load("", value.name, {}))
    elif isinstance(value, functools.partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            yield from _classes_of(part)
    elif isinstance(value, dict):
        yield from (found for item in value.values() for found in _classes_of(item))
    elif isinstance(value, tuple | list | set | frozenset):
        yield from (found for item in value for found in _classes_of(item))
    else:
        yield from (value if isinstance(value, type) else type(value)).__mro__
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                yield from _classes_of(getattr(value, field.name))


def _own_modules(name: str) -> set[str]:
    """`name`, where it is none of a known version, and what it imports of the user's own."""
    if name.partition(".")[0] in (*PACKAGES, *sys.stdlib_module_names):
        return set()
    found: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [each for each in _imported_by(module) if _is_own(each, name.partition(".")[0])]
    return found


def _is_own(name: str, package: str) -> bool:
    """Whether a module is of `package` or of no installed one."""
    top = name.partition(".")[0]
    if top == package:
        return True
    path = _source_of(name)
    return path is not None and top not in PACKAGES and not any(path.is_relative_to(each) for each in _installed())


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Where Python and what is installed for it lie."""
    paths = sysconfig.get_paths()
    standard = (paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return tuple({Path(each).resolve() for each in (*standard, *site.getsitepackages(), site.getusersitepackages())})


def _source_of(name: str) -> Path | None:
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).resolve() if file else None


@functools.cache
def _imported_by(name: str) -> frozenset[str]:
    """The modules that a module's source imports, wherever in it, of those that are loaded."""
    tree = _tree(name)
    if tree is None:
        return frozenset()
    package = getattr(sys.modules[name], "__package__", None) or ""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {parent for alias in node.names for parent in _with_parents(alias.name)}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {*_with_parents(base), *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(found & sys.modules.keys())


def _with_parents(name: str) -> list[str]:
    pieces = name.split(".")
    return [".".join(pieces[: number + 1]) for number in range(len(pieces))]


@functools.cache  # as it was when it was first looked at, soon after it was imported
def _module_digest(name: str) -> str:
    tree, path = _tree(name), _source_of(name)
    if tree is not None:
        return _tree_digest(tree)
    return "" if path is None else _digest(path.read_bytes())  # compiled, or of no file at all


@functools.cache
def _tree(name: str) -> ast.Module | None:
    path = _source_of(name)
    if path is None or path.suffix != ".py":
        return None
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _file_digest(path: Path) -> str:
    return _tree_digest(ast.parse(path.read_bytes()))


def _tree_digest(tree: ast.AST) -> str:
    pieces: list[str] = []
    _write(tree, pieces)
    return _digest("".join(pieces))


def _write(node: Any, pieces: list[str]) -> None:
    """The tree as text, without docstrings, and without fields that are empty: later versions of Python have more."""
    if isinstance(node, list):
        pieces.append("[")
        for item in node:
            is_bare_text = isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
            if not (is_bare_text and isinstance(item.value.value, str)):
                _write(item, pieces)
        pieces.append("]")
    elif isinstance(node, ast.AST):
        pieces.append(f"({type(node).__name__}")
        for name, value in ast.iter_fields(node):
            if value is not None and value != []:
                pieces.append(f" {name}=")
                _write(value, pieces)
        pieces.append(")")
    else:
        pieces.append(repr(node))


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:12]
