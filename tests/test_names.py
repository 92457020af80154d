"""Names as text: any bytes that a file system takes."""

import os
from pathlib import Path

import pytest

from voxlex.names import accented, as_on_disk, counted, distinct, folded, length_limit, printable, sentence, shortened

NAMES = {
    b"m\xfcller.png": "m%FCller.png",
    "müller 脳 👩‍⚕️.png".encode(): "müller 脳 👩‍⚕️.png",
    b"a\nb\t.png": "a%0Ab%09.png",
    b"\x1b[31mred\x1b]0;title\x07": "%1B[31mred%1B]0;title%07",
    "gnp.\u202eexe".encode(): "gnp.%E2%80%AEexe",
    b"50%.png": "50%.png",
    b"--out": "--out",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_become_text_and_are_found_again(name: bytes) -> None:
    text = printable(os.fsdecode(name))
    assert text == NAMES[name]
    assert text.isprintable() or "\u200d" in text
    assert text.encode()
    assert os.fsencode(as_on_disk(text)) == name


def test_every_byte_has_a_name() -> None:
    for byte in range(1, 256):
        name = os.fsdecode(b"x" + bytes([byte]))
        assert printable(name).encode("utf-8").isascii()
        assert as_on_disk(printable(name)) == name


def test_names_that_look_the_same_stay_two() -> None:
    names = [
        os.fsdecode(b"m\xfcller.nii.gz"),
        "m%FCller.nii.gz",
        os.fsdecode(b"x/\xff.png"),
        os.fsdecode(b"x/\xff.png"),
    ]
    assert distinct(names) == ["m%FCller-2.nii.gz", "m%FCller.nii.gz", "x/%FF.png", "x/%FF-2.png"]


def test_file_systems_that_know_one_spelling() -> None:
    assert folded("É.png") == folded("e\u0301.PNG")
    assert folded("a") != folded("b")


def test_long_names_are_cut_between_characters_and_differ() -> None:
    first, second = ("脳" * 100 + end for end in "ab")
    assert len(shortened(first).encode()) <= 255
    assert shortened(first) != shortened(second)
    assert shortened(first) == shortened(first)
    assert shortened("脳" * 85) == "脳" * 85


def test_the_file_system_says_how_long_names_are(tmp_path: Path) -> None:
    assert length_limit(tmp_path / "not" / "yet") == os.pathconf(tmp_path, "PC_NAME_MAX")


def test_accents_are_parts_of_letters_or_stand_after_them() -> None:
    assert accented("e\u0301.png") == accented("\u00e9.png") == ("\u00e9.png", "e\u0301.png")


def test_one_thing_is_in_the_singular() -> None:
    assert [counted(number, "scan") for number in (0, 1, 2)] == ["0 scans", "1 scan", "2 scans"]


def test_sentences_begin_large_and_end() -> None:
    assert sentence("subjects: unknown") == "Subjects: unknown."
    assert sentence("Done.") == "Done."
