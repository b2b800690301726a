"""The site of these pages: `make docs` builds it into site/html, and warnings are errors. It needs no network.

Sphinx with furo, whose fonts are the reader's own, and myst-nb, which runs the pages that are notebooks.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from sphinx.util.inspect import stringify_signature

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # of notebooks

project = "lstm_jax"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

html_theme = "furo"
html_title = f"lstm_jax {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

myst_heading_anchors = 4  # page.md#a-heading, as on a code host
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

default_role = "code"
highlight_language = "text"  # of blocks that name none
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("Array", "Backward", "DTypeLike", "Params", "State")}
python_maximum_signature_line_length = 100


def link(match: re.Match[str], page: Path) -> str:
    """A link that a site has no page for: of a directory, to what is said of it, else its text alone; or a download."""
    text, target = match.groups()
    place = (page.parent / target).resolve()
    if place == ROOT / "CHANGELOG.md":
        return f"[{text}](changelog.md)"
    if not place.is_dir():
        is_elsewhere = place.suffix == ".md" and not place.is_relative_to(DOCS)
        return f"{{download}}`{text} <{target}>`" if is_elsewhere else match[0]
    if place.is_relative_to(DOCS / "results"):
        section = place.relative_to(DOCS / "results").parts[0].replace("_", "-")
        return f"[{text}]({os.path.relpath(DOCS / 'results.md', page.parent)}#{section})"
    return f"[{text}]({target}/README.md)" if (place / "README.md").exists() else text


def read(app: Any, name: str, source: list[str]) -> None:
    """Make the links of a page those of the site."""
    page = Path(app.env.doc2path(name))
    text = (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "](") if name == "changelog" else source[0]
    source[0] = re.sub(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)\)", lambda match: link(match, page), text)


def as_rst(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are Markdown of the simplest kind: code in single backticks, and in indented blocks."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", lambda match: f"``{' '.join(match[1].split())}``", "\n".join(lines))
    text = re.sub(r"(?<=\n)\n(?= {4}\S)", "\n::\n\n", text)  # under a paragraph; napoleon's sections have no empty line
    lines[:] = text.split("\n")


def as_made(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> Any:
    """What a module of flax.nnx is made from, which its metaclass hides."""
    if what != "class" or not (signature or "").startswith("(*args"):
        return None
    made = inspect.signature(value.__init__.__get__(value))  # its annotations as they are written
    return stringify_signature(made, show_return_annotation=False), None


def setup(app: Any) -> None:
    """Connect them, that of docstrings before napoleon."""
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", as_rst, priority=400)
    app.connect("autodoc-process-signature", as_made)
