"""Links, pictures and navigation of README and docs, without a build: `make docs` builds the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import FILES, ROOT, blocks

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix() for kind in ("md", "rst") for path in DOCS.rglob(f"*.{kind}")
}


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may end with: of Sphinx and of code hosts alike."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_links_and_pictures_are_there(page):
    text = page.read_text()
    assert not re.search(r"@[A-Z]+@", text), "a placeholder"
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        place = page.parent / target if target else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def entries(page: Path) -> list[str]:
    """The pages that a page's tables of contents name."""
    text = "\n".join(block.text for block in blocks(page) if block.language == "{toctree}")
    names = [re.sub(r".*<(.*)>", r"\1", line) for line in text.splitlines() if line and not line.startswith(":")]
    found = [
        place for name in names for place in (page.parent.glob(f"{name}.md") if "*" in name else [page.parent / name])
    ]
    return [place.relative_to(DOCS).with_suffix("").as_posix() for place in found]


def test_the_navigation_has_every_page_once_and_no_other():
    named = [name for page in DOCS.rglob("*.md") for name in entries(page)]
    assert sorted(named) == sorted(PAGES - {"index"})


def test_the_page_of_results_has_a_section_for_each_directory():
    sections = re.findall(r"^## (.+)$", (DOCS / "results.md").read_text(), flags=re.MULTILINE)
    directories = [path.name for path in (DOCS / "results").iterdir() if path.is_dir()]
    assert sorted(name.lower().replace(" ", "_") for name in sections) == sorted(directories)


def test_the_reference_has_the_public_names():
    import lstm_jax

    text = "".join(path.read_text() for path in (DOCS / "reference").glob("*.rst"))
    named = {name.split(".")[-1] for name in re.findall(r"^\.\. auto\w+:: (\S+)$", text, flags=re.MULTILINE)}
    assert {*lstm_jax.__all__, "Cell", "PointwiseCell", "Task"} <= named
