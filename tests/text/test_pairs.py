"""Pairs from files and from software: what is kept, what is dropped and why, and each bad file in one line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from lstm_jax.errors import TextError
from lstm_jax.text.files import read_text
from lstm_jax.text.pairs import clean_catalogue, read_pairs

FIXTURE = Path(__file__).parent / "fixtures" / "english-marathi.tsv"
TWO = "Go.\tजा.\tCC-BY 2.0\nRun!\tपळा!\n"


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "pairs.tsv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize(
    "data",
    [TWO, "\ufeff" + TWO, TWO.replace("\n", "\r\n"), "\ufeff\n\n" + TWO.replace("\n", "\n \n"), TWO.strip()],
    ids=["plain", "bom", "crlf", "blank lines", "no last line end"],
)
def test_forms_of_a_file(file, data):
    cleaned = read_pairs(file(data))
    assert cleaned.pairs == (("Go.", "जा."), ("Run!", "पळा!"))
    assert cleaned.dropped == {} and cleaned.facts == {"origin": "pairs.tsv"}


def test_what_a_file_drops_is_counted(file):
    lines = ["no tab here", "Ok\tOk", "Go.\tAllez.", "\tजा.", "Go.\t", "जा.\tजा", "12\tबारा", "x" * 1001 + "\tक्ष"]
    cleaned = read_pairs(file(TWO * 2 + "\n".join(lines)))
    assert len(cleaned.pairs) == 4  # duplicates are for prepare_pairs to see
    assert cleaned.dropped == {
        "no tab": 1,
        "both sides are the same": 1,
        "no Devanagari letter in the Marathi": 1,
        "one side is empty": 2,
        "Devanagari in the English": 1,
        "no letter in the English": 1,
        "more than 1000 characters": 1,
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected text, got an empty file"),
        (b"\xef\xbb\xbf \r\n\n", "expected text, got an empty file"),
        (TWO.encode() + b"caf\xe9\tb\n", "line 3: expected UTF-8, got the byte 0xe9"),
        (b"\r\n\r\n\xff", "line 3: expected UTF-8"),
        (TWO.encode("utf-16"), r"line 1: expected UTF-8, got the byte 0xff \(it seems to be UTF-16"),
        (gzip.compress(TWO.encode(), mtime=0), "it is compressed"),
        (b"PK\0\0", "line 1: expected text, got a zero byte"),
        ("\nGo. जा.\nRun! पळा!\n" + TWO, None),
        ("\nGo. जा.\nRun! पळा!\nx\n" + TWO, r"line 2: expected English<TAB>Marathi, got 'Go\. जा\.': 3 of 5 lines"),
        ("y" * 500, r"line 1: expected English<TAB>Marathi, got 'y{57}\.\.\.': 1 of 1 lines"),
        ("Go.\tVa !\nRun!\tCours !\n", r"none can be used \(2 no Devanagari letter in the Marathi\)"),
    ],
)
def test_bad_files_in_one_line(file, data, message):
    path = file(data)
    if message is None:
        assert read_pairs(path).dropped == {"no tab": 2}  # half of the lines is not most of them
        return
    with pytest.raises(TextError, match=message) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_directory_unreadable(tmp_path):
    for path, message in ((tmp_path / "none", "no such file"), (tmp_path, "got a directory")):
        with pytest.raises(TextError, match=message):
            read_pairs(path)
        with pytest.raises(TextError, match=message):
            read_text(path)
    with pytest.raises(TextError, match="can't be read"):
        read_text(tmp_path / ("n" * 5000))


def test_a_pipe_is_a_file(tmp_path):
    read, write = os.pipe()
    os.write(write, TWO.encode())
    os.close(write)
    assert len(read_pairs(Path(f"/dev/fd/{read}")).pairs) == 2
    os.close(read)


@pytest.mark.parametrize("piece", ["a", "<b", "%", "&", "_a", "a ", "(_", "क्", " ("])
def test_lines_of_megabytes_are_dropped_in_time(file, time_limit, piece):
    long = piece * (2**21 // len(piece))
    with time_limit(5):
        assert read_pairs(file(f"{long}\t{long}\n{TWO}")).dropped == {"more than 1000 characters": 1}
        assert clean_catalogue([(long, long)]).dropped == {"more than 1000 characters": 1}


@pytest.mark.parametrize(
    ("message", "pair"),
    [
        (("~File", "फाईल (~F)"), ("File", "फाईल")),
        (("_Save As...", "असे साठवा (_S)..."), ("Save As...", "असे साठवा...")),
        (("E_xit", "बाहेर पडा(_x)"), ("Exit", "बाहेर पडा")),
        (("&Edit", "सं&पादन"), ("Edit", "संपादन")),
        (("E&xit", "&बाहेर"), ("Exit", "बाहेर")),
        (("R&D and Q&A", "R&D आणि Q&A"), ("R&D and Q&A", "R&D आणि Q&A")),
        (("Cut && paste", "कापा && चिकटवा"), ("Cut & paste", "कापा & चिकटवा")),
        (("<b>Bold</b> &amp; more", "<b>ठळक</b> &amp; अधिक"), ("Bold & more", "ठळक & अधिक")),
        (("Two\nlines", "दोन\nओळी "), ("Two lines", "दोन ओळी")),
        (("%PRODUCTNAME Help", "%PRODUCTNAME मदत"), ("LibreOffice Help", "LibreOffice मदत")),
        (("100% done", "100% पूर्ण"), ("100% done", "100% पूर्ण")),
        (("Type:", "प्रकार:"), ("Type:", "प्रकार:")),
    ],
)
def test_software_is_cleaned(message, pair):
    cleaned = clean_catalogue([message])
    assert cleaned.pairs == (pair,) and cleaned.dropped == {}


@pytest.mark.parametrize(
    ("english", "reason"),
    [
        *((text, "placeholder") for text in ("Open %s", "%d of %1", "%1$s", "$(ARG1)", "${x}", "{name}", "{}", "#1")),
        *((text, "placeholder") for text in ("%(name)s", "%PRODUCTVERSION", "$filename$", "%.2f dB", "%lld", "at [x]")),
        *((text, "markup") for text in ("<item>", "Stock|Open", "&nosuch;", '<font size="1">x')),
        *((text, "identifier") for text in ("gtk_widget_show_all()", "a://b", "Europe/Riga", "notes.odt")),
        ("One\n\nTwo", "several paragraphs"),
        ("Open\tCtrl+O", "tab"),
        ("क", "Devanagari in the English"),
    ],
)
def test_software_is_dropped(english, reason):
    assert clean_catalogue([(english, "मराठी")]).dropped == {reason: 1}


def test_the_fixture_is_whole():
    cleaned = read_pairs(FIXTURE)
    assert len(cleaned.pairs) == len(set(cleaned.pairs)) == 483 and cleaned.dropped == {}
    assert all(line.endswith("(BSD-3-Clause)") for line in FIXTURE.read_text(encoding="utf-8").splitlines())


def test_columns_the_other_way_round_get_a_hint(file):
    swapped = "".join("\t".join(reversed(line.split("\t")[:2])) + "\n" for line in TWO.splitlines())
    with pytest.raises(TextError, match=r"line 1: expected English<TAB>Marathi, .* in 2 of 3 lines: swap the columns$"):
        read_pairs(file(swapped + "Go.\tजा.\n"))
    assert len(read_pairs(file(swapped + TWO)).pairs) == 2, "no more than half: dropped and counted"
