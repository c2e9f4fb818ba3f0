"""Texts and JSON from outside: what the readers of both packages refuse, and how names are shown."""

import json

import pytest

import hear_mwmae.json_files
import hear_mwmae.names
import tasks.json_files
import tasks.names
from hear_mwmae import UserError
from tasks import TaskError

READERS = [(tasks.json_files, TaskError), (hear_mwmae.json_files, UserError)]
BAD_JSON = {
    "deep lists": ("[" * 100_000 + "]" * 100_000, "levels deep"),
    "lists a little too deep": ("[" * 65 + "]" * 65, "levels deep"),
    "deep objects": ('{"a":' * 80 + "1" + "}" * 80, "levels deep"),
    "many digits": ("1" * 5000, "64 bits"),
    "21 digits": ("[-" + "9" * 21 + "]", "64 bits"),
    "beyond 64 bits": (str(2**63), "64 bits"),
    "infinite": ("1e999", "no finite number"),
    "not a number": ('{"a": NaN}', "no finite number"),
    "key twice": ('{"a": 1, "b": 2, "a": 3}', "'a' twice"),
    "half a pair": ('["\\ud800"]', "surrogate"),
    "half a pair as key": ('{"\\uDC80": 1}', "surrogate"),
    "cut off": ('{"a": 1', "line 1"),
    "empty": ("", "not JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "too large": (b" " * 1001, "1000 bytes"),
}


@pytest.mark.parametrize(("content", "word"), BAD_JSON.values(), ids=BAD_JSON)
@pytest.mark.parametrize(("module", "error"), READERS, ids=["tasks", "hear_mwmae"])
def test_bad_json_is_one_sentence_that_names_the_file(module, error, content, word, tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    bound = {"max_bytes": 1000} if word == "1000 bytes" else {}
    with pytest.raises(error, match=word) as caught:
        module.read_json(path, **bound)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(("module", "error"), READERS, ids=["tasks", "hear_mwmae"])
def test_good_json_is_what_pythons_reader_gives(module, error, tmp_path):
    value = {"a": [1, -2.5, 2**63 - 1, -(2**63), None, True, "\U0001f600"], "b": {"": []}}
    assert module.parse_json(json.dumps(value), "it") == value
    assert module.parse_json(b"\xef\xbb\xbf" + json.dumps(value, ensure_ascii=False).encode(), "it") == value
    assert module.parse_json("[Infinity]", "it", finite=False) == [float("inf")]


@pytest.mark.parametrize("module", [tasks.names, hear_mwmae.names])
def test_names_are_shown_as_escapes(module, tmp_path):
    assert module.printable("plain, ümläut ± 日本 😀 \\ '") == "plain, ümläut ± 日本 😀 \\ '"
    assert module.printable("a\x1b[31m\nb\t\x00\x9b") == r"a\x1b[31m\nb\t\x00\x9b"
    assert module.printable("a\nb\r", keep="\n") == "a\nb\\r"
    assert module.printable("\u202egpj.\u2028\ufeff\u200b\ufffe") == r"\u202egpj.\u2028\ufeff\u200b\ufffe"
    assert module.printable(tmp_path / "dr\udce9i") == str(tmp_path / r"dr\xe9i")
    module.printable("".join(map(chr, range(0x110000)))).encode()  # whatever it is, it can be written


def test_both_packages_hold_to_the_same_rules():
    """The borders forbid a shared module; what one file says the other must say too."""
    assert tasks.names._UNPRINTABLE.pattern == hear_mwmae.names._UNPRINTABLE.pattern
    assert tasks.json_files.MAX_DEPTH == hear_mwmae.json_files.MAX_DEPTH
