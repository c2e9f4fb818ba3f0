"""What tests of labelled data share: small text files, and the sentence with which data are refused."""

from pathlib import Path

import pytest

from hear_mwmae.errors import UserError
from hear_mwmae.supervised.data.find import read_labelled_data


def text(path: Path, *lines: str) -> Path:
    """Write a text file of these lines, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def sentence(directory: Path, **options: object) -> str:
    """Return the one sentence with which a data set is refused, without the path of the test's folder."""
    with pytest.raises(UserError) as caught:
        read_labelled_data(directory, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message.replace(f"{directory}/", "").replace(str(directory), "DATA")
