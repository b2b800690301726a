"""Text files as they come: UTF-8 with or without a BOM, any line ends; what is wrong with one in one line."""

from __future__ import annotations

from pathlib import Path

from lstm_jax.errors import TextError


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without its BOM, its lines ended by `\\n` (CRLF and CR are accepted).

    Raises TextError for a file that is missing, a directory, unreadable, empty, or not UTF-8 (with the line of the
    first bad byte).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise TextError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise TextError(f"{path}: expected a text file, got a directory") from None
    except OSError as error:
        raise TextError(f"{path}: can't be read ({error.strerror})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"{path}, line {line}: expected UTF-8, got the byte 0x{data[error.start]:02x}{_guess(data)}"
        ) from None
    if not text.strip():
        raise TextError(f"{path}: expected text, got an empty file")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TextError(f"{path}, line {line}: expected text, got a zero byte: is it a binary file?")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guess(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return " (it seems to be UTF-16: save it as UTF-8)"
    if data[:2] in (b"\x1f\x8b", b"PK"):
        return " (it is compressed: unpack it first)"
    return ""


def excerpt(text: str, length: int = 60) -> str:
    """`text` in quotes for a message, at most `length` characters of it."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")
