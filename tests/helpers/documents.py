"""The blocks of our Markdown documents, and whether the commands in them are ones that we have; nothing is run.

A block without a language is commands, one a line; where lines begin with `$ `, the others are what they print. A block
of another kind says so: ```text for equations and output. What no test can try follows `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import tyro
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DOCUMENTS = [path for path in FILES if path.name != "samples.md"]  # which are what a model has written
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
MARK = re.compile(r"<!-- not run: (\S.*) -->\s*")


class Block(NamedTuple):
    """A block of a document; `language` is "" for commands, `reason` for what was not marked."""

    place: str
    language: str
    text: str
    reason: str


def blocks(document: Path) -> Iterator[Block]:
    """The blocks of a document, in their order; those in lists and quotes too."""
    before = None
    for token in MarkdownIt("commonmark").parse(document.read_text()):
        if token.type in ("fence", "code_block"):
            mark = MARK.fullmatch(before.content) if before is not None and before.type == "html_block" else None
            assert token.map is not None
            place = f"{document.relative_to(ROOT)}:{token.map[0] + 1}"
            yield Block(place, token.info.strip(), token.content, mark[1] if mark else "")
        before = token


def inline(document: Path) -> list[str]:
    """The commands of ours that stand in a sentence."""
    tokens = MarkdownIt("commonmark").enable("table").parse(document.read_text())
    code = [child.content for token in tokens for child in token.children or [] if child.type == "code_inline"]
    return [text for text in code if re.match(r"(python -m (experiments|benchmarks)\.|lstm-jax |make [a-z])", text)]


def commands(text: str) -> list[str]:
    """The command lines of a block."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    with_prompt = [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in with_prompt or lines if line.strip() and not line.startswith("#")]


def is_ours(command: str) -> bool:
    """Whether it is a command that this repository has, so that `fault` can say what is wrong with it."""
    program, *words = _words(command)
    if program == "python":
        return re.match(r"(experiments|benchmarks)\.", words[1]) is not None
    return program in ("make", "lstm-jax") or (program == "pip" and "-e" in words) or (ROOT / program).is_file()


@functools.cache
def fault(command: str) -> str:
    """What is wrong with one of our commands: an option, target, extra or module that is not there; "" for nothing."""
    program, *words = _words(command)
    if program == "make":
        return "".join(f"no such target: {word}" for word in words if word not in TARGETS)
    if program == "pip":
        wanted = [name for word in words for match in re.findall(r"\[(.*)\]", word) for name in match.split(",")]
        return "".join(f"no such extra: {name}" for name in wanted if name not in EXTRAS)
    if program == "lstm-jax":
        return _refused("experiments.cli", words)
    return _refused(words[1], words[2:]) if program == "python" else ""


def _words(command: str) -> list[str]:
    """Program and arguments, without what the shell reads of them."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # an apostrophe
        words = command.split()
    ends = [index for index, word in enumerate(words) if word in ("|", "<", ">", "&&")]
    return [word for word in words[: min(ends, default=None)] if not re.match(r"[A-Z_]+=", word)]


class _Accepted(BaseException):
    """The options have been read: the command is to go no further."""


def _refused(module: str, words: list[str]) -> str:
    """What `python -m MODULE WORDS` says of its options; "" where it takes them."""
    read = tyro.cli

    def cli(*arguments: object, **options: object) -> None:
        read(*arguments, **options)  # type: ignore[call-overload]
        raise _Accepted

    said = io.StringIO()
    with (
        mock.patch.object(tyro, "cli", cli),
        mock.patch.object(sys, "argv", [module, *words]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
        contextlib.chdir(ROOT),  # of --beside, --config and --grid
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # the module may have been imported
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except _Accepted:
            return ""
        except SystemExit as stop:
            return said.getvalue().strip() or f"ended with status {stop.code}" if stop.code else ""
        except ImportError as error:
            return str(error)
    return "it read no options"
