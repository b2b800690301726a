"""Check files before a commit: `python .ci/check_files.py FILE ...` names what is wrong, with exit status 1.

Refuses conflict markers, trailing whitespace (except in .csv, .tsv and .svg), a missing or doubled newline at the end,
and files over 1 MB.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MAX_BYTES = 1_000_000
MARKER = re.compile(r"(<{7}|>{7}|\|{7}) ")


def faults(path: Path) -> list[str]:
    """The faults of one file, one line each; a file that is not UTF-8 text is checked for its size alone."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        return [f"{path}: {size} bytes; expected at most {MAX_BYTES}"]
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return []
    if "\0" in text or not text:
        return []
    found = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        if MARKER.match(line):
            found.append(f"{path}:{number}: a conflict marker")
        if line != line.rstrip() and path.suffix not in (".csv", ".tsv", ".svg"):
            found.append(f"{path}:{number}: trailing whitespace")
    if not text.endswith("\n") or text.endswith("\n\n"):
        found.append(f"{path}: expected exactly one newline at the end")
    return found


def main(names: list[str]) -> int:
    """Print the faults of all files; 1 if there is any."""
    found = [line for name in names if Path(name).is_file() for line in faults(Path(name))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
