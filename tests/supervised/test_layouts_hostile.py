"""Tables and lists that cannot be used as they are: one sentence that names the file, and the row."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled import sentence, text
from sounds import tone, write

from hear_mwmae.errors import UserError
from hear_mwmae.supervised.data.find import folds_of, read_labelled_data, write_missing
from hear_mwmae.supervised.data.labels import LabelledData

ROWS = ("a.wav,x,train", "b.wav,y,train", "c.wav,x,test")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A folder with the files a.wav to d.wav."""
    for name in "abcd":
        write(tmp_path / f"{name}.wav", tone(0.01))
    return tmp_path


@pytest.fixture
def table(sound: Path) -> Callable[..., Path]:
    """Writes mine.csv into the folder of sound and returns that folder."""

    def write_table(*rows: str, header: str = "filename,label,split") -> Path:
        text(sound / "mine.csv", header, *rows)
        return sound

    return write_table


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("d.wav,x", "line 5 has 2 fields where the header has 3"),
        ("d.wav,x,y,train", "line 5 has 4 fields where the header has 3"),
        ("d.wav,,train", "line 5 has no label"),
        ("d.wav, ; ,train", "line 5 has no label"),
        ("d.wav,x,dev", "line 5 has the split 'dev'"),
        ("d.wav,x,", "line 5 has the split ''"),
        (",x,train", "line 5 names the file ''"),
        ("/d.wav,x,train", "line 5 names the file '/d.wav'"),
        ("../d.wav,x,train", "line 5 names the file '../d.wav'"),
        ("sub/../d.wav,x,train", "line 5 names the file 'sub/../d.wav'"),
        ('"d.wav,x,train', "line 5 is no row of a table"),
        ("d\0.wav,x,train", "line 5 holds a NUL"),
        ("d.wav,x,train,".ljust(200_000, "x"), "line 5 is no row of a table (field larger"),
        (
            "a.wav,y,train",
            "line 5 has 'a.wav' again, which line 2 has; a recording belongs to one part, once",
        ),
        (".//a.wav,y,train", "line 5 has 'a.wav' again, which line 2 has"),
        ("a.wav,x,test", "line 5 has 'a.wav' in test, which line 2 has in train"),
        ("d.wav,z,test", "DATA: the class 'z' has clips in the part 'test' and none for training"),
        ("d.wav,z,valid", "DATA: the class 'z' has clips in the part 'valid' and none for training"),
        ("\x1b[2Jd.wav,x,no\u202e", r"line 5 has the split 'no\\u202e'"),
        (
            "e.wav,x,valid",
            "DATA: no clip of the part 'valid' is left of 1 that are listed; the first is 'e.wav' (looked",
        ),
    ],
)
def test_row_of_a_table(table: Callable[..., Path], row: str, said: str) -> None:
    message = sentence(table(*ROWS, row))
    assert message.removeprefix("mine.csv: ").startswith(said)
    assert message.startswith("mine.csv: ") or said.startswith("DATA: ")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("filename;label;split", "the column 'filename' is not there, only 'filename;label;split'"),
        ("filename,class,split", "of the columns label and labels it has neither"),
        ("filename,label,part", "of the columns split and fold it has neither"),
        ("filename,label,split,fold", "of the columns split and fold it has both"),
        ("filename,filename,label,split", "the column 'filename' is twice"),
        ("filename,label,label,split", "of the columns label and labels it has both"),
        ("", "the column 'filename' is not there, only 'a.wav', 'x', 'train'"),
    ],
)
def test_header_of_a_table(table: Callable[..., Path], header: str, said: str) -> None:
    width = header.count(",") + 1
    rows = [f"{row},{','.join('z' * (width - 3))}" if width > 3 else row for row in ROWS]
    assert sentence(table(*rows, header=header)).startswith(f"mine.csv: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the column 'filename' is not there, only"),
        (b"\n\n", "the column 'filename' is not there, only"),
        (b"filename,label,split\n", "the table has no row"),
        (b"filename,label,split\na.wav,caf\xe9,train\n", "is not UTF-8 (byte 0xe9)"),
        ("filename,label,split\n".encode("utf-16"), "is not UTF-8 (byte 0xff)"),
    ],
)
def test_content_of_a_table(sound: Path, content: bytes, said: str) -> None:
    (sound / "mine.csv").write_bytes(content)
    assert said in sentence(sound)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_table_of_a_spreadsheet_is_read(sound: Path, ends: str) -> None:
    lines = ["filename,label,split", *ROWS, ""]
    (sound / "mine.csv").write_bytes(ends.join(lines).encode("utf-8-sig"))
    assert len(read_labelled_data(sound).training) == 2


def test_line_after_a_row_of_several_lines_and_an_empty_one(table: Callable[..., Path]) -> None:
    rows = ('a.wav,x,train,"of\ntwo lines"', "", "b.wav,y,train,", "c.wav,y,tests,")
    assert sentence(table(*rows, header="filename,label,split,note")).startswith(
        "mine.csv: line 6 has the split"
    )


def test_no_data_set(tmp_path: Path) -> None:
    assert sentence(tmp_path).startswith("DATA is no labelled data set: it has none of task_metadata.json")
    assert "there is no such file" in sentence(tmp_path / "gone")
    assert "is no labelled data set" in sentence(text(tmp_path / "notes.txt", "filename,label,split"))
    os.mkfifo(tmp_path / "pipe")
    assert "is no labelled data set" in sentence(tmp_path / "pipe")
    assert "cannot be read" in sentence(tmp_path / ("n" * 300))


def test_several_tables(table: Callable[..., Path]) -> None:
    folder = table(*ROWS)
    text(folder / "other.csv", "some,columns", "of,another kind")
    assert read_labelled_data(folder).name == "mine"
    text(folder / "yours.csv", "filename,labels,fold")
    assert "has several tables (mine.csv and yours.csv)" in sentence(folder)


def test_one_class_only(table: Callable[..., Path]) -> None:
    assert "x is all that there is to tell apart" in sentence(table("a.wav,x,train", "b.wav,x,test"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:2], "no clip is for the part 'test'"),
        ((*ROWS[2:], "d.wav,y,test"), "no clip is for the part 'train'"),
        (
            ("x.wav,x,train", "y.wav,y,train", *ROWS[2:]),
            "no clip of the part 'train' is left of 2 that are listed",
        ),
        ((*ROWS[:2], "e.wav,x,test"), "no clip of the part 'test' is left of 1 that are listed"),
    ],
)
def test_part_without_clips(table: Callable[..., Path], rows: tuple[str, ...], said: str) -> None:
    assert sentence(table(*rows)).startswith(f"DATA: {said}")


def test_fold(table: Callable[..., Path]) -> None:
    assert "so there is no fold '1'" in sentence(table(*ROWS), fold="1")
    folder = table("a.wav,x,1", "b.wav,y,2", "c.wav,x,3", header="filename,label,fold")
    assert "which is tested was not said; name one of 1, 2, 3." in sentence(folder)
    assert "has no fold '4'; name one of 1, 2, 3." in sentence(folder, fold="4")
    assert "line 3 has no fold" in sentence(table("a.wav,x,1", "b.wav,y,", header="filename,label,fold"))
    with pytest.raises(UserError, match="no fold"):
        folds_of(folder)


def test_options_that_a_layout_has_not(table: Callable[..., Path], tmp_path: Path) -> None:
    folder = table(*ROWS)
    assert "no subset '20k'; this layout has none" in sentence(folder, subset="20k")
    assert "no such folder of sound" in sentence(folder, sound=tmp_path / "gone")
    text(tmp_path / "sc" / "testing_list.txt")
    assert "this layout has v1 and v2" in sentence(tmp_path / "sc", subset="v3")
    assert "leave the folder of sound" in sentence(tmp_path / "sc", sound=tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the list has no class"),
        ("x\n\ny\nx\n", "line 4 has the class 'x' again"),
        ("x\nz\n", "mine.csv: line 3: the label 'y' of b.wav is not in classes.txt"),
        ("index,mid,display_name\n0,/m/0,x\n2,/m/1,y\n", "line 3 has the index '2' where 1 follows"),
        ("index,mid,display_name\n0,/m/0,x\n1,/m/0,y\n", "line 3 has the class '/m/0' again"),
        ("index,mid,display_name\n0,/m/0,\n", "line 2 lacks a name"),
        ("index,mid,display_name\n0,/m/0\n", "line 2 has 2 fields"),
        ("index,mid,display_name\n", "the table has no row"),
    ],
)
def test_list_of_classes(table: Callable[..., Path], content: str, said: str) -> None:
    folder = table(*ROWS)
    (folder / "classes.txt").write_text(content, encoding="utf-8")
    message = sentence(folder, classes=folder / "classes.txt")
    assert said in message
    assert "classes.txt" in message


def test_list_of_classes_that_is_no_file(table: Callable[..., Path]) -> None:
    folder = table(*ROWS)
    assert (
        sentence(folder, classes=folder / "gone.txt") == "gone.txt: there is no such file; correct the path."
    )
    assert sentence(folder, classes=folder) == "DATA: is no file; correct the path."
    (folder / "bytes.txt").write_bytes(b"x\n\xff\n")
    assert "bytes.txt is not UTF-8" in sentence(folder, classes=folder / "bytes.txt")


def test_leave_out_that_names_no_clip(table: Callable[..., Path]) -> None:
    folder = table(*ROWS)
    text(folder / "out.txt", "q.wav")
    assert "out.txt: no line, such as 'q.wav'" in sentence(folder, leave_out=folder / "out.txt")
    text(folder / "out.txt")
    assert read_labelled_data(folder, leave_out=folder / "out.txt").missing == ()
    text(folder / "out.txt", "a.wav", "b.wav")
    assert "part 'train' is left" in sentence(folder, leave_out=folder / "out.txt")


def test_missing_id_of_several_lines_is_one_line(tmp_path: Path) -> None:
    data = LabelledData("a", ("x", "y"), False, (), (), (), missing=("a\nb", "c\udcff"))
    write_missing(data, tmp_path / "missing.txt")
    assert (tmp_path / "missing.txt").read_text() == "a\\nb\nc\\xff\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read(table: Callable[..., Path]) -> None:
    folder = table("a.wav,x,train", "b.wav,y,train", "in/c.wav,x,test")
    (folder / "in").mkdir(mode=0)
    assert "cannot be read (Permission denied)" in sentence(folder)
    (folder / "in").chmod(0o700)
