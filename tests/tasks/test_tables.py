"""Tables, names and folders from outside: one meaning for every row, or a sentence with the line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from tasks.errors import TaskError
from tasks.format.alike import look, look_alikes, name_fault, spelling, text_fault
from tasks.format.folders import contents_below
from tasks.format.labels import read_vocabulary, sort_labels
from tasks.format.tables import MAX_ROWS, MAX_TABLE_BYTES, read_rows


def table(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "a.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    "content",
    [
        'a,b\n1,"x, y"\n2,z\n',
        'a,b\r\n1,"x, y"\r\n2,z\r\n',
        'a,b\r1,"x, y"\r2,z\r',
        '\ufeffa,b\n\n1,"x, y"\n\n2,z',
        'b,a,c\n"x, y",1,\nz,2,"many\nlines"\n',
        'a,b,,\n1,"x, y",,\n2,z,,\n',
    ],
)
def test_a_table_is_read_however_a_program_saves_it(tmp_path, content):
    rows = read_rows(table(tmp_path, content), ("a", "b"))
    assert [(row["a"], row["b"]) for row in rows] == [("1", "x, y"), ("2", "z")]


BAD = {
    r"line 3 has 3 fields where the header has 2; put what holds a comma in quotes": "a,b\n1,x\n2,y, z\n",
    r"line 5 has 1 fields where": 'a,b,c\n1,x,"y\nz"\n\n2\n',
    r"line 1 names the column 'b' twice; keep one": "a,b,b\n1,x,y\n",
    r"line 1 names 'b' and 'B ', which look alike": "a,b,B \n1,x,y\n",
    r"has no column a, only 'A;b'": "A;b\n1;x\n",
    r"line 3 has no b; ": "a,b\n1,x\n2, \n",
    r"line 2 is no row of a table": 'a,b\n1,"x\n2,y\n',
    r"line 2 is no row of a table \(.*expected after": 'a,b\n1,"x"y\n',
    r"line 2 is not in UTF-8; save": b"a,b\n1,\xe9\n",
    r"line 3: its b has control characters": "a,b\n1,x\n2,y\0z\n",
    r"line 2: its b has control characters": 'a,b\n1,"x\ny"\n',
    rf"more than {MAX_TABLE_BYTES} bytes": b"a,b\n" + b" " * MAX_TABLE_BYTES,
    rf"more than {MAX_ROWS} lines": "a,b\n" * (MAX_ROWS + 1),
}


@pytest.mark.parametrize("message", BAD)
def test_what_may_mean_two_things_is_an_error_with_the_line(tmp_path, message):
    file = table(tmp_path, BAD[message])
    with pytest.raises(TaskError, match=message) as caught:
        read_rows(file, ("a", "b"))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    for name in ("fifo.csv", ".", "none.csv"):
        with pytest.raises(TaskError, match=r"is no file|cannot be read as a table"):
            read_rows(tmp_path / name, ())


ALIKE = [
    ("café", "cafe\u0301"),
    ("dog", "dog "),
    ("a dog", "a  dog"),
    ("dog", "d\u200bog"),
    ("dog", "dog\ufe0f"),
    ("dog", "do\u00adg"),
]
LOOKING_ALIKE = [("Dog", "dog"), ("straße", "STRASSE"), ("dog", "dоg"), ("dog", "ｄｏｇ"), ("ﬁre", "fire")]


def test_names_that_people_take_for_the_same_are_found():
    for first, second in ALIKE:
        assert spelling(first) == spelling(second)
    for first, second in (*ALIKE, *LOOKING_ALIKE):
        assert look(first) == look(second)
        assert look_alikes([first, "other", second, first]) == [(first, second)]
    for first, second in (*LOOKING_ALIKE, ("व्यस", "वयस"), ("1", "01"), ("cafe", "café"), ("a", "å")):
        assert spelling(first) != spelling(second)
    assert look_alikes(["1", "01", "1.0", "cafe", "café", "व्यस", "वयस", "天", "木", "C", "C#"]) == []


def test_names_that_could_not_be_read_back_are_known():
    for name in ("a.wav", "日本.wav", "a b.wav", "-.wav", "kvqbH3DNWlk__U__S102---1313.180-1327.820.wav"):
        assert name_fault(name) is None
    for name in (
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        ".a.wav",
        "a\nb",
        "a\x7f",
        "a\u2028b",
        "\udce9.wav",
        "x" * 256,
    ):
        assert name_fault(name)
    assert text_fault("a, b/c\\d; .e") is None
    for label in ("", " ", "a\rb", "\ud800", "x" * 1001):
        assert text_fault(label)


def test_labels_equal_as_numbers_have_one_order_whatever_the_hash_seed():
    code = "from tasks.format.labels import sort_labels\n"
    code += "print(*sort_labels(['1', '01', '1.0', '2', '02', '+1']))"
    orders = set()
    for seed in "123":
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
        orders.add(done.stdout)
    assert orders == {"+1 01 1 1.0 02 2\n"}
    assert sort_labels(["9" * 5000, "1"]) == ("1", "9" * 5000)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("idx,label\n0,a\n2,b\n", "idx must count 0, 1, 2"),
        ("idx,label\n", "idx must count 0, 1, 2"),
        ("idx,label\n0,a\nx,b\n", "line 3 has the idx 'x'"),
        (f"idx,label\n0,a\n{'9' * 500},b\n", "line 3 has the idx '9999"),
        ("idx,label\n0,a\n01,b\n", "line 3 has the idx '01'"),
        ("idx,label\n0,a\n1,a\n", "lines 2 and 3 have the same label"),
        ("idx,label\n0,café\n1,cafe\u0301\n", "lines 2 and 3 have labels of which only the encoding differs"),
    ],
)
def test_faults_of_a_vocabulary_have_their_line(tmp_path, content, fault):
    _, faults = read_vocabulary(table(tmp_path, content))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_links_are_followed_once_and_files_of_systems_are_passed_over(tmp_path):
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    for file in (
        "s1/a.wav",
        "s1/._a.wav",
        ".Trash-1000/b.wav",
        "__MACOSX/s1/._a.wav",
        "Thumbs.db",
        "s3/.hidden/x",
    ):
        (raw / file).parent.mkdir(parents=True, exist_ok=True)
        (raw / file).touch()
    (disk / "s2" / "deep").mkdir(parents=True)
    (disk / "s2" / "deep" / "c.wav").touch()
    (raw / "s2").symlink_to(disk / "s2")
    (raw / "a-first").symlink_to(raw / "s1")
    (raw / "s1" / "loop").symlink_to(raw)
    (disk / "s2" / "deep" / "back").symlink_to(disk)
    (raw / "itself").symlink_to(raw / "itself")
    (raw / "nowhere.wav").symlink_to(disk / "gone.wav")
    files, folders = contents_below(raw)
    assert [str(f.relative_to(raw)) for f in files] == ["itself", "nowhere.wav", "s1/a.wav", "s2/deep/c.wav"]
    assert {str(f.relative_to(raw)) for f in folders} == {"s1", "s2", "s2/deep", "s2/deep/back", "s3"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "raw" / "shut").mkdir(parents=True)
    (tmp_path / "raw" / "shut").chmod(0)
    with pytest.raises(TaskError, match=r"the folder .*shut cannot be read"):
        contents_below(tmp_path / "raw")
    (tmp_path / "raw" / "shut").chmod(0o700)
