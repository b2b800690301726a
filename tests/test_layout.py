"""The shape of the package: imports go one way, plots and analysis need no jax, a registered name is a file."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_jax
from lstm_jax.cells import CELLS
from lstm_jax.tasks import TASKS

PACKAGE = Path(lstm_jax.__file__).parent
# A module imports from those above it in this list (and from its own part).
ORDER = [
    "errors",
    "files",
    "choices",
    "registry",
    "text",
    "cells",
    "derivatives",
    "pointwise",
    "steps",
    "memory_saving",
    "scanning",
    "self_check",
]
ORDER += ["layers", "models", "evaluation", "tasks", "training", "signals", "terminal", "sweeps", "analysis", "figures"]
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_of(path, package=PACKAGE):
    """`lstm_jax.cells.rnn` for lstm_jax/cells/rnn.py; a package for its __init__.py."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class _WithoutTypes(ast.NodeTransformer):
    """Leaves out what only type checkers see."""

    def visit_If(self, node):
        self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def imports_of(source, package, with_types=True):
    """Every module that a source imports, at any depth, relative ones resolved against its `package`."""
    found = set()
    tree = ast.parse(source)
    for node in ast.walk(tree if with_types else _WithoutTypes().visit(tree)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            # `from lstm_jax import registry` imports a module: name by name
            found |= {f"{base}.{name.name}" for name in node.names}
    return found


def part_of(module):
    """`cells` for lstm_jax.cells.rnn, "" for lstm_jax itself."""
    return module.split(".")[1] if "." in module else ""


def breaches(module, source, package):
    """What a module of lstm_jax imports though it may not.

    lstm_jax itself imports none of its parts, but shows type checkers where the public names are.
    """
    imports = imports_of(source, package, with_types=part_of(module) != "")
    found = {name for name in imports if name.split(".")[0] in ("experiments", "tests", "benchmarks")}
    for name in imports:
        if name.split(".")[0] == "lstm_jax" and part_of(module) != part_of(name):
            allowed = ORDER[: ORDER.index(part_of(module))] if part_of(module) else []
            if part_of(name) not in allowed:
                found.add(name)
    return found


def package_of(path):
    module = module_of(path)
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_go_one_way(path):
    """And nothing in the library knows experiments, benchmarks or tests."""
    assert breaches(module_of(path), path.read_text(), package_of(path)) == set()


def test_every_part_has_its_place_in_the_order():
    parts = {part_of(module_of(path)) for path in SOURCES} - {""}
    assert parts <= set(ORDER)


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("lstm_jax.scanning", "import lstm_jax.layers", {"lstm_jax.layers"}),
        ("lstm_jax.scanning", "from lstm_jax import layers", {"lstm_jax.layers"}),
        ("lstm_jax.scanning", "from .layers import Stack", {"lstm_jax.layers.Stack"}),
        ("lstm_jax.cells.rnn", "def f():\n    from ..scanning import scan", {"lstm_jax.scanning.scan"}),
        ("lstm_jax.cells.rnn", "from . import base\nfrom .base import Cell\nfrom lstm_jax import registry", set()),
        ("lstm_jax.figures.page", "from lstm_jax.analysis import horizon", set()),
        ("lstm_jax.analysis.gaps.horizon", "import lstm_jax.figures.page", {"lstm_jax.figures.page"}),
        ("lstm_jax.figures.page", "from experiments import gap_length", {"experiments.gap_length"}),
        ("lstm_jax.cells.rnn", "from lstm_jax import Stack", {"lstm_jax.Stack"}),
        ("lstm_jax.cells.rnn", "if TYPE_CHECKING:\n    from lstm_jax import layers", {"lstm_jax.layers"}),
        ("lstm_jax", "from lstm_jax.registry import parse", {"lstm_jax.registry.parse"}),
        ("lstm_jax", "def f():\n    from lstm_jax import layers", {"lstm_jax.layers"}),
        ("lstm_jax", "if TYPE_CHECKING:\n    from lstm_jax.layers import Stack", set()),
        ("lstm_jax", "if TYPE_CHECKING:\n    pass\nelse:\n    from lstm_jax import layers", {"lstm_jax.layers"}),
    ],
)
def test_breaches_are_seen(module, source, breach):
    assert breaches(module, source, module.rpartition(".")[0] or module) == breach


# Without jax. What a command needs before its first run, and all that comes after the last.

WITHOUT_JAX = ["lstm_jax", "lstm_jax.choices", "lstm_jax.registry", "lstm_jax.cells", "lstm_jax.tasks"]
WITHOUT_JAX += [module_of(path) for path in SOURCES if part_of(module_of(path)) in ("analysis", "figures")]
HEAVY = {"jax", "jaxlib", "flax", "optax", "orbax", "wandb", "torch"}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if part_of(module_of(path)) in ("", "analysis", "figures")], ids=module_of
)
def test_sources_name_neither_jax_nor_wandb(path):
    """The package itself, analysis and figures: at no depth."""
    assert {name.split(".")[0] for name in imports_of(path.read_text(), package_of(path))} & HEAVY == set()


def test_imports_bring_neither_jax_nor_wandb():
    """In a fresh interpreter, one module after another, by what is loaded after each."""
    code = (
        "import importlib, json, sys\n"
        f"found = {{}}\nfor name in {WITHOUT_JAX!r}:\n"
        "    importlib.import_module(name)\n"
        f"    found[name] = sorted({HEAVY!r} & set(sys.modules))\n"
        "print(json.dumps(found))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [] for name in WITHOUT_JAX}


# The registry


@pytest.mark.parametrize(
    ("kind", "name", "target"),
    [(kind, *item) for kind, table in (("cells", CELLS), ("tasks", TASKS)) for item in table.items()],
)
def test_a_registered_name_is_a_class_in_a_file_of_its_name(kind, name, target):
    """One file a cell and a task, with the class defined in it; no import needed to know."""
    module, _, attribute = target.partition(":")
    path = PACKAGE / kind / f"{name}.py"
    assert module == module_of(path)
    classes = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    assert attribute in classes
