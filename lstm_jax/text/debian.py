"""Text from Debian packages, fetched by name: translations of software, the King James Bible. Nothing is installed."""

from __future__ import annotations

import contextlib
import errno
import gettext
import io
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import platformdirs

from lstm_jax.errors import TextError
from lstm_jax.text.pairs import Cleaned, clean_catalogue

LIBREOFFICE = ("libreoffice-l10n-mr",)
# Those with a large Marathi catalogue. iso-codes is not among them: 8,000 names of languages and countries.
FULL = (
    *LIBREOFFICE,
    "gnucash-common",
    "vlc-l10n",
    "evolution-common",
    "evolution-data-server-common",
    "audacity-data",
    "libgtk-3-common",
    "libgtk2.0-common",
    "nautilus-data",
    "gedit-common",
    "totem-common",
    "libglib2.0-data",
    "gnome-control-center-data",
    "epiphany-browser-data",
    "evince-common",
    "pidgin-data",
    "anjuta-common",
    "caja-common",
    "brasero-common",
    "rhythmbox-data",
    "shotwell-common",
    "network-manager",
    "aptitude-common",
    "gconf2-common",
    "gnome-disk-utility",
    "system-config-printer-common",
    "seahorse",
    "marco-common",
    "gvfs-common",
)
_MARATHI = "/mr/LC_MESSAGES/"
ANYWHERE = "--pairs FILE (lines of English<TAB>Marathi) or --text FILE works anywhere"


def cache() -> Path:
    """Where unpacked packages are kept."""
    return platformdirs.user_cache_path("lstm_jax", appauthor=False) / "debian"


def fetch(package: str, into: Path | None = None, part: str = "") -> Path:
    """The directory of an unpacked Debian package, fetched and unpacked where it is not there yet.

    It is `into`/`package` (in the user's cache, by default), whole or not there: the files whose path has `part` in it,
    the package's copyright, and `.version`. Raises TextError where apt or dpkg is missing, the package unknown, or the
    network away.
    """
    place = (into or cache()) / package
    if place.is_dir():
        return place
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise TextError(f"{program} was not found, and {package} is a Debian package: {ANYWHERE}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{package}.") as temporary:
            tree = Path(temporary, "tree")
            _unpack(package, Path(temporary), tree, part)
            with contextlib.suppress(FileExistsError):  # another process was first
                _rename(tree, place)
    except (OSError, tarfile.TarError) as error:
        raise TextError(f"package {package}: can't be put into {place.parent} ({error}): {ANYWHERE}") from None
    return place


def _rename(tree: Path, place: Path) -> None:
    try:
        tree.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(*error.args) from None
        raise


def _unpack(package: str, directory: Path, tree: Path, part: str) -> None:
    _run(["apt-get", "download", package], package, directory)
    files = list(directory.glob("*.deb"))
    if len(files) != 1:
        raise TextError(f"package {package}: expected one .deb of `apt-get download`, got {len(files)}: {ANYWHERE}")
    archive = _run(["dpkg-deb", "--fsys-tarfile", str(files[0])], package, directory)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        wanted = [file for file in tar if file.isfile() and (part in file.name or file.name.endswith("/copyright"))]
        tar.extractall(tree, wanted, filter="data")
    version = _run(["dpkg-deb", "-f", str(files[0]), "Version"], package, directory)
    Path(tree, ".version").write_text(version.decode().strip(), encoding="utf-8")


def _run(command: list[str], package: str, directory: Path) -> bytes:
    """What a program prints; TextError with one line of its errors, apt's own first, where it fails."""
    try:
        done = subprocess.run(
            command, cwd=directory, env={**os.environ, "LC_ALL": "C"}, capture_output=True, timeout=600, check=True
        )
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no reason given")
        hint = "; try `apt-get update` first" if command[0] == "apt-get" else ""
        raise TextError(f"package {package}: {command[0]} failed ({reason[:200]}){hint}: {ANYWHERE}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TextError(f"package {package}: {command[0]} failed ({error}): {ANYWHERE}") from None
    return done.stdout


def english_marathi(corpus: Literal["libreoffice", "full"] = "libreoffice", into: Path | None = None) -> Cleaned:
    """The pairs of Debian's translations of software into Marathi, in an order that is always the same.

    Of "full", a package that can't be had is left out with a warning, LibreOffice's excepted. Raises TextError as
    `fetch` does, and for a damaged catalogue.
    """
    messages: list[tuple[str, str]] = []
    versions: dict[str, str] = {}
    for package in LIBREOFFICE if corpus == "libreoffice" else FULL:
        try:
            tree = fetch(package, into, _MARATHI)
        except TextError as error:
            if package in LIBREOFFICE:
                raise
            warnings.warn(f"left out: {error}", stacklevel=2)
            continue
        versions[package] = (tree / ".version").read_text(encoding="utf-8")
        for path in sorted(tree.rglob("mr/LC_MESSAGES/*.mo")):
            messages += _messages(path)
    cleaned = clean_catalogue(messages)
    origin = {"origin": f"Debian's {corpus} catalogues, English to Marathi", "packages": versions}
    licence = "MPL-2.0 (LibreOffice)" + (
        "; others as their copyright files say, mostly GPL or LGPL" if corpus == "full" else ""
    )
    return Cleaned(cleaned.pairs, cleaned.dropped, origin | {"licence": licence, "messages": len(messages)})


def _messages(path: Path) -> list[tuple[str, str]]:
    """The messages of a gettext catalogue without their contexts, singular of those with a plural, sorted."""
    try:
        with path.open("rb") as file:
            catalogue = vars(gettext.GNUTranslations(file))["_catalog"]
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise TextError(f"{path}: expected a gettext catalogue ({error})") from None
    singular = {key if isinstance(key, str) else key[0]: text for key, text in catalogue.items() if _first(key)}
    return [(key.rpartition("\x04")[2], text) for key, text in sorted(singular.items()) if key]


def _first(key: str | tuple[str, int]) -> bool:
    return isinstance(key, str) or key[1] == 0


KING_JAMES = {"origin": "King James Bible, Debian's bible-kjv-text", "licence": "public domain"}


def king_james(into: Path | None = None) -> str:
    """The King James Bible, a verse a line, without the verses' numbers.

    Raises TextError as `fetch` does, and where the program that unpacks the text does not run here.
    """
    program = fetch("bible-kjv", into) / "usr/bin/bible"
    data = fetch("bible-kjv-text", into) / "usr/lib"
    lines = _run([str(program.resolve()), "-f", "Gen1:1-Rev22:21"], "bible-kjv", data).decode().splitlines()
    if len(lines) != 31_102:
        raise TextError(f"package bible-kjv: expected 31102 verses, got {len(lines)}: {ANYWHERE}")
    return "".join(f"{line.partition(' ')[2]}\n" for line in lines)
