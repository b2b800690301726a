"""Blocks of README and docs are run by a test or by `make docs`, or say why not; all commands are ones that we have."""

from __future__ import annotations

import ast

import pytest
from documents import DOCUMENTS, ROOT, Block, blocks, commands, fault, inline, is_ours

from experiments.gap_length import EXPERIMENT
from lstm_jax.sweeps.config.grid import parse_commands

RUN_ELSEWHERE = {
    "docs/extending.md": "tests/test_docs.py",
    "docs/flax.md": "tests/test_docs.py",
    "docs/api.md": "tests/test_public.py",
}
BUILT = ("{code-cell} python", "{toctree}", "{literalinclude}", "{include}")
"""What `make docs` runs or reads."""
BY_NAME = {str(path.relative_to(ROOT)): list(blocks(path)) for path in DOCUMENTS}
MARKED = [block for found in BY_NAME.values() for block in found if block.reason]
MODULES = sorted([*ROOT.glob("experiments/*.py"), *ROOT.glob("benchmarks/*.py")])


def foreign(block: Block) -> list[str]:
    """The commands of other programs."""
    return [command for command in commands(block.text) if not is_ours(command)]


def faults(lines: list[str]) -> list[str]:
    return [f"{line}: {fault(line)}" for line in lines if is_ours(line) and fault(line)]


def faults_in_sentences(lines: list[str]) -> list[str]:
    """There a command may be named without what it has to be given."""
    return [said for said in faults(lines) if "no value given" not in said]


@pytest.mark.parametrize("name", BY_NAME)
def test_commands_are_ours_or_marked_and_their_options_exist(name):
    of_commands = [block for block in BY_NAME[name] if not block.language]
    unknown = [f"{block.place}: {line}" for block in of_commands if not block.reason for line in foreign(block)]
    assert not unknown, "no command of ours: expected ```text, or <!-- not run: REASON --> before the block"
    assert not faults([line for block in of_commands for line in commands(block.text)])
    assert not faults_in_sentences(inline(ROOT / name))


def test_commands_in_docstrings_and_scripts_have_options_that_exist():
    texts = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in MODULES]
    texts += [path.read_text() for path in sorted(ROOT.glob("benchmarks/reference/*.sh"))]
    lines = [line for text in texts for line in text.replace("\\\n", "").splitlines() if line.startswith("python -m ")]
    assert len(lines) > 20 and not faults(lines)


@pytest.mark.parametrize("name", BY_NAME)
def test_other_blocks_are_of_a_kind_that_something_runs(name, tmp_path, monkeypatch):
    """Python here, the blocks of a document in one namespace, unless another test runs them; grids are read."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in BY_NAME[name]:
        if block.reason or block.language in ("", "text", *BUILT) or block.language.split()[0] in BUILT:
            continue
        if block.language == "yaml":
            (tmp_path / "grid.yaml").write_text(block.text)
            assert parse_commands(EXPERIMENT.presets, ["--grid", "grid.yaml"], "gap_length", "")
        else:
            assert block.language == "python", block.place
            if name not in RUN_ELSEWHERE:
                exec(compile(block.text, block.place, "exec"), namespace)


@pytest.mark.parametrize("block", MARKED, ids=[f"{block.place} ({block.reason})" for block in MARKED])
def test_what_is_marked_as_not_run_is_nothing_that_a_test_could_try(block):
    assert block.language or foreign(block)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("python -m experiments.gap_length --gap 3", "unknown option '--gap'"),
        ("python -m experiments.status", "directory"),
        ("python -m experiments.nothing", "No module named experiments.nothing"),
        ("python -m benchmarks.sweeps tables", "unknown command 'tables'"),
        ("lstm-jax statsu DIR", "unknown command 'statsu'"),
        ("make gap-lengths", "no such target"),
        ("pip install -e '.[cuda,ray]'", "no such extra: cuda"),
    ],
)
def test_what_is_wrong_is_seen(command, said):
    assert is_ours(command) and said in fault(command)
