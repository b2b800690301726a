"""Debian packages without Debian: programs of the same names, or none, on PATH."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from lstm_jax.errors import TextError
from lstm_jax.text import debian

APT = """#!{python}
import os, shutil, sys
from pathlib import Path
mode, package = os.environ["FAKE"], sys.argv[2]
with open({log!r}, "a") as log: log.write(package + "\\n")
if mode == "offline": sys.exit("Err:1 somewhere\\nE: Failed to fetch it  Could not resolve 'a.b'")
if mode == "unknown" or not (source := Path({debs!r}, package + ".tar")).exists():
    sys.exit("W: unsandboxed\\nE: Unable to locate package " + package)
if mode != "nothing": shutil.copy(source, package + "_1%3a2.0_all.deb")
"""
DPKG = """#!{python}
import os, sys
from pathlib import Path
if os.environ["FAKE"] == "damaged": sys.exit("dpkg-deb: error: not a Debian format archive")
print("1:2.0") if sys.argv[1] == "-f" else sys.stdout.buffer.write(Path(sys.argv[2]).read_bytes())
"""


def catalogue(messages):
    """A gettext .mo file."""
    head = [("", "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n")]
    texts = [(key.encode(), text.encode()) for key, text in sorted([*head, *messages])]
    start, table, data = 28 + 16 * len(texts), [], b""
    for column in (0, 1):
        for pair in texts:
            table += [len(pair[column]), start + len(data)]
            data += pair[column] + b"\0"
    return (
        struct.pack("<7I", 0x950412DE, 0, len(texts), 28, 28 + 8 * len(texts), 0, 0)
        + struct.pack(f"<{len(table)}I", *table)
        + data
    )


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Packages to be had, and a way to say how apt-get behaves."""
    programs, debs, log = tmp_path / "bin", tmp_path / "debs", tmp_path / "log"
    programs.mkdir()
    debs.mkdir()
    for name, text in (("apt-get", APT), ("dpkg-deb", DPKG)):
        (programs / name).write_text(text.format(python=sys.executable, debs=str(debs), log=str(log)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", "works")

    class Machine:
        def has(self, package, **files):
            tree = tmp_path / "trees" / package
            for name, (path, data) in files.items():
                place = tree / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
                place.chmod(0o755 if name == "program" else 0o644)
            with tarfile.open(debs / f"{package}.tar", "w") as tar:
                tar.add(tree, ".")

        def asked(self):
            return log.read_text().split() if log.exists() else []

        def marathi(self, package, *messages):
            where = f"usr/share/locale/{{}}/LC_MESSAGES/{package}.mo"
            self.has(
                package,
                catalogue=(where.format("mr"), catalogue(messages)),
                other=(where.format("hi"), b"not ours"),
                copyright=(f"usr/share/doc/{package}/copyright", b"MPL-2.0"),
            )

    return Machine()


def test_catalogues_are_read(machine):
    machine.marathi(
        "libreoffice-l10n-mr",
        ("STR_A\x04~File", "फाईल (~F)"),
        ("STR_B\x04~File", "फाईल (~F)"),
        ("%d page\0%d pages", "%d पान\0%d पाने"),
        ("page\0pages", "पान\0पाने"),
        ("Open", "उघडा"),
    )
    cleaned = debian.english_marathi("libreoffice")
    assert cleaned.pairs == (("Open", "उघडा"), ("File", "फाईल"), ("File", "फाईल"), ("page", "पान"))
    assert cleaned.dropped == {"placeholder": 1}
    assert cleaned.facts["packages"] == {"libreoffice-l10n-mr": "1:2.0"} and cleaned.facts["messages"] == 5
    assert debian.english_marathi("libreoffice") == cleaned
    assert machine.asked() == ["libreoffice-l10n-mr"]  # once: it is kept
    kept = {path.name for path in debian.cache().rglob("*") if path.is_file()}
    assert kept == {"libreoffice-l10n-mr.mo", "copyright", ".version"}  # and what no one needs is not


def test_full_goes_on_without_a_package(machine):
    machine.marathi("libreoffice-l10n-mr", ("Open", "उघडा"))
    machine.marathi("vlc-l10n", ("Play", "चालवा"))
    with pytest.warns(UserWarning, match="left out") as warned:
        cleaned = debian.english_marathi("full")
    assert cleaned.pairs == (("Open", "उघडा"), ("Play", "चालवा"))
    assert len(warned) == len(debian.FULL) - 2 and "apt-get update" in str(warned[0].message)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("unknown", "Unable to locate package libreoffice-l10n-mr.*try `apt-get update` first"),
        ("offline", "Failed to fetch it  Could not resolve"),
        ("nothing", "expected one .deb"),
        ("damaged", "dpkg-deb failed .dpkg-deb: error: not a Debian format archive"),
    ],
)
def test_what_goes_wrong_is_one_line(machine, monkeypatch, mode, reason):
    machine.marathi("libreoffice-l10n-mr", ("Open", "उघडा"))
    monkeypatch.setenv("FAKE", mode)
    with pytest.raises(TextError, match=reason) as caught:
        debian.english_marathi()
    assert "--pairs FILE" in str(caught.value) and "--text FILE" in str(caught.value) and "\n" not in str(caught.value)
    assert list(debian.cache().iterdir()) == []  # nothing half done stays
    monkeypatch.setenv("FAKE", "works")
    assert len(debian.english_marathi().pairs) == 1


@pytest.mark.parametrize("missing", ["apt-get", "dpkg-deb"])
def test_no_debian(machine, monkeypatch, tmp_path, missing):
    (tmp_path / "bin" / missing).unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for ask in (debian.english_marathi, debian.king_james):
        with pytest.raises(TextError, match=f"{missing} was not found.*--pairs FILE.*--text FILE"):
            ask()


def test_no_place_to_write(machine, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    machine.marathi("libreoffice-l10n-mr", ("Open", "उघडा"))
    with pytest.raises(TextError, match="can't be put into"):
        debian.english_marathi(into=tmp_path / "file")


def test_two_at_once(machine, tmp_path):
    machine.marathi("libreoffice-l10n-mr", ("Open", "उघडा"))
    with ThreadPoolExecutor(6) as pool:
        places = set(pool.map(lambda _: debian.fetch("libreoffice-l10n-mr", tmp_path / "into"), range(6)))
    assert places == {tmp_path / "into" / "libreoffice-l10n-mr"} == set((tmp_path / "into").iterdir())


@pytest.mark.parametrize(
    "data", [b"", b"not a catalogue", catalogue([("Open", "उघडा")])[:90]], ids=["empty", "text", "cut"]
)
def test_a_damaged_catalogue(machine, data):
    machine.has("libreoffice-l10n-mr", mo=("usr/share/locale/mr/LC_MESSAGES/a.mo", data))
    with pytest.raises(TextError, match=r"a\.mo: expected a gettext catalogue"):
        debian.english_marathi()


def test_a_damaged_package(machine, tmp_path):
    (tmp_path / "debs" / "libreoffice-l10n-mr.tar").write_bytes(b"x" * 5000)
    with pytest.raises(TextError, match="can't be put into"):
        debian.english_marathi()


def test_full_needs_the_largest(machine, recwarn):
    with pytest.raises(TextError, match="libreoffice-l10n-mr"):
        debian.english_marathi("full")
    # Of others there may be some: what a test before has left open is collected at any time.
    assert not [each for each in recwarn if "left out" in str(each.message)]
    assert machine.asked() == ["libreoffice-l10n-mr"]


PROGRAM = """#!{python}
import sys
assert open("bible.data").read() == "data"
assert sys.argv[1:] == ["-f", "Gen1:1-Rev22:21"]
for verse in range({count}): print(f"Gen1:{{verse}} And it was so.")
"""


@pytest.mark.parametrize("count", [31_102, 3])
def test_king_james(machine, count):
    program = PROGRAM.format(python=sys.executable, count=count).encode()
    machine.has("bible-kjv", program=("usr/bin/bible", program))
    machine.has("bible-kjv-text", data=("usr/lib/bible.data", b"data"))
    if count == 31_102:
        assert debian.king_james() == "And it was so.\n" * count
    else:
        with pytest.raises(TextError, match="expected 31102 verses, got 3"):
            debian.king_james()


def test_the_package_imports_no_jax():
    code = (
        "import sys, lstm_jax.text.store, lstm_jax.text.debian; assert not {'jax', 'wandb', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
