"""The shape of the package: imports go one way, plots and analysis need no jax, a registered name is a file."""

from __future__ import annotations

import ast
import json
import re
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
    "arrays",
    "registry",
    "text",
    "images",
    "cells",
    "derivatives",
    "pointwise",
    "mesh",
    "steps",
    "memory_saving",
    "linear_scan",
    "scan",
    "self_check",
    "parameters",
]
ORDER += ["layers", "models", "evaluation", "tasks", "precision", "optimizers", "lanes", "training"]
ORDER += ["signals", "terminal"]
ORDER += ["sweeps", "analysis", "diagnostics", "figures", "api"]
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
        ("lstm_jax.scan", "import lstm_jax.layers", {"lstm_jax.layers"}),
        ("lstm_jax.scan", "from lstm_jax import layers", {"lstm_jax.layers"}),
        ("lstm_jax.scan", "from .layers import Stack", {"lstm_jax.layers.Stack"}),
        ("lstm_jax.cells.rnn", "def f():\n    from ..scan import scan", {"lstm_jax.scan.scan"}),
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


# The rooms of sweeps

ROOMS = [  # a module imports from the rooms above its own
    ("config", "options, command line, grid file: argv and YAML become a configuration"),
    ("sources", "digests of the code that numbers come from"),
    ("machine", "what this machine has"),
    ("environment", "what jax reads from a user's environment"),
    ("job", "which runs share a program, and how a job ends"),
    ("store", "what is durable: directory, records, checkpoints, files, locks"),
    ("stages", "which runs there are: the choice of a learning rate, and what is asked for by it"),
    ("plan", "a configuration becomes jobs"),
    ("worker", "one job on one device"),
    ("executors", "where jobs run"),
    ("queue", "which job is next"),
    ("views", "what people look at"),
    ("run", "the command: inspect, train, write views"),
]
ROOM_NAMES = [name for name, _ in ROOMS]
SWEEPS = [path for path in SOURCES if part_of(module_of(path)) == "sweeps"]


def room_of(module):
    """`store` for lstm_jax.sweeps.store.records, "" for lstm_jax.sweeps itself."""
    return ".".join(module.split(".")[2:3])


def test_every_room_is_there_and_nothing_else():
    assert {room_of(module_of(path)) for path in SWEEPS} - {""} == set(ROOM_NAMES)


@pytest.mark.parametrize("path", SWEEPS, ids=module_of)
def test_rooms_import_one_way(path):
    module = module_of(path)
    imported = {name for name in imports_of(path.read_text(), package_of(path)) if part_of(name) == "sweeps"}
    rooms = {room_of(name) for name in imported if name.startswith("lstm_jax.")} - {room_of(module)}
    above = ROOM_NAMES[: ROOM_NAMES.index(room_of(module))] if room_of(module) else []
    assert rooms <= set(above)


@pytest.mark.parametrize("path", [path for path in SWEEPS if room_of(module_of(path)) != "worker"], ids=module_of)
def test_only_the_worker_imports_jax(path):
    """At any depth: a command plans, waits and shows; what computes is in `worker` and in what it imports."""
    names = {name.split(".")[0] for name in imports_of(path.read_text(), package_of(path))}
    assert names & {"jax", "jaxlib", "flax", "optax", "orbax"} == set()


def test_there_are_no_circles():
    """Not even by imports inside of functions."""
    modules = {module_of(path): path for path in SOURCES}
    graph = {}
    for module, path in modules.items():
        names = imports_of(path.read_text(), package_of(path), with_types=False)
        found = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = {name for name in found & modules.keys() if name != module}
    waiting = dict(graph)
    while waiting:
        free = [module for module, imports in waiting.items() if not imports & waiting.keys()]
        assert free, f"a circle among {sorted(waiting)}"
        for module in free:
            del waiting[module]


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=module_of)
def test_a_folder_says_what_lives_there(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


# Names

GONE = {"bank", "twin", "strip", "panel", "panels", "parts", "numbers", "told", "news", "heard", "kept"}
CLASSES_GONE = {"Lane", "Ended", "Outcome", "Bank", "Result"}


def words_of(name):
    """`["live", "run"]` for LiveRun, live_run and live_run.py."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def names_in(tree):
    """Classes, functions and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.FunctionDef):
            yield from (argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))
        if isinstance(node, ast.ClassDef):
            fields = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
            yield from (field.id for field in fields if isinstance(field, ast.Name))


@pytest.mark.parametrize("path", [*SOURCES, *sorted((PACKAGE.parent / "experiments").rglob("*.py"))], ids=str)
def test_private_jargon_is_gone(path):
    """Files, classes, functions, parameters and fields: words that one had to learn."""
    names = {path.stem, *names_in(ast.parse(path.read_text()))}
    assert {name for name in names if set(words_of(name)) & GONE or name in CLASSES_GONE} == set()


# Files are read in one sitting

MOST_LINES = 250
LONGER = {
    "lstm_jax/memory_saving.py": "one derivation, forward and backward side by side",
    "lstm_jax/sweeps/run.py": "one command from its plan to its views, in the order in which it happens",
}


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_are_short(path):
    name = path.relative_to(PACKAGE.parent).as_posix()
    assert len(path.read_text().splitlines()) <= (340 if name in LONGER else 1.12 * MOST_LINES)
