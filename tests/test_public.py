"""The public names: the ones on docs/api.md, found whatever was imported before, and jax only once one is used."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_jax

ROOT = Path(lstm_jax.__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("lstm_jax/*.py"))
MODULES = [name for name in MODULES if not name.endswith("__init__")]


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def python(code):
    """What a fresh interpreter prints; one without tests/conftest.py."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_page_has_the_public_names_and_no_others():
    assert sorted(SECTIONS) == sorted(lstm_jax.__all__)
    assert set(lstm_jax.__all__) <= set(dir(lstm_jax))


@pytest.mark.parametrize("name", lstm_jax.__all__)
def test_a_name_is_importable_in_a_fresh_interpreter(name):
    """And is what its module calls so, a class or a function."""
    code = f"import inspect; from lstm_jax import {name} as value; callable_ = callable(value)\n"
    code += "value = inspect.unwrap(value); print(value.__name__, callable_, value.__module__)"
    found, is_callable, module = python(code)
    assert (found, is_callable) == (name, "True") and module.startswith("lstm_jax.")


def test_import_loads_nothing_else_of_ours_and_no_jax():
    code = "import sys, lstm_jax; dir(lstm_jax); print(*(n for n in sys.modules if n.startswith(('lstm_jax', 'jax'))))"
    assert python(code) == ["lstm_jax"]


def test_a_star_imports_the_public_names():
    assert python("before = {*dir(), 'before'}; from lstm_jax import *; print(*sorted({*dir()} - before))") == sorted(
        lstm_jax.__all__
    )


SCANS = [
    "from lstm_jax import scan",
    "from lstm_jax.scan import scan",
    "import lstm_jax; scan = lstm_jax.scan",
    "import lstm_jax.scan; scan = lstm_jax.scan",
    "import lstm_jax.scan as module; scan = module.scan; module.scan_last",
    "import lstm_jax.layers; from lstm_jax import scan",
]
USE = """
import inspect, jax
from lstm_jax import RNN
cell = RNN(hidden_dim=2)
arguments = cell, cell.init(jax.random.key(0), 3), jax.numpy.ones((4, 3))
assert scan(*arguments, backward="states")[1].shape == (4, 2)
assert jax.jit(scan, static_argnums=0)(*arguments)[1].shape == (4, 2)
assert list(inspect.signature(scan).parameters)[:3] == ["cell", "params", "inputs"]
"""


def test_scan_is_the_function_however_and_in_whatever_order_it_is_imported():
    """Its module has the same name, which Python binds in the package once the module is imported."""
    for order in (SCANS, SCANS[::-1], SCANS[3:] + SCANS[:3]):
        python("".join(f"{line}{USE}" for line in order))


def test_a_name_is_the_same_whatever_was_imported_before():
    """Before and after every module of the package, in both orders."""
    use = "from lstm_jax import scan, LSTM, Stack; import lstm_jax; assert lstm_jax.scan is scan and callable(scan)"
    load = f"import importlib; [importlib.import_module(name) for name in {MODULES}]"
    for first, second in itertools.permutations((use, load)):
        python("\n".join((first, second, use)))


def test_other_attributes_are_errors():
    with pytest.raises(AttributeError, match="module 'lstm_jax' has no attribute 'LSMT'"):
        _ = lstm_jax.LSMT
    with pytest.raises(ImportError, match="cannot import name 'LSMT' from 'lstm_jax'"):
        exec("from lstm_jax import LSMT")


def test_type_checkers_are_told_the_same_names():
    """In a source where nothing else than the block for them says what a name is."""
    assert (ROOT / "lstm_jax" / "py.typed").exists()
    source = Path(lstm_jax.__file__).read_text()
    shown = re.search(r"if TYPE_CHECKING:\n(.*?)\nelse:", source, flags=re.DOTALL)
    assert shown is not None
    imports = re.findall(r"from (\S+) import (.+)", shown[1])
    assert {name: home for home, names in imports for name in names.split(", ")} == lstm_jax._HOMES


@pytest.mark.parametrize("name", SECTIONS)
def test_the_code_of_a_section_runs(name, tmp_path, monkeypatch):
    """Each after the page's first block alone, as a reader would copy it; `load` reads what `Sweep` has written."""
    monkeypatch.chdir(tmp_path)
    _, given = blocks(PAGE.partition("\n## ")[0])
    (code,) = blocks(SECTIONS[name])
    assert 3 <= len(code.strip().splitlines()) <= 8
    if name == "load":
        exec(blocks(SECTIONS["Sweep"])[0], {})
    exec(compile(given + code, f"docs/api.md: {name}", "exec"), {})
