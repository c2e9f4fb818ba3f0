"""The examples in the docstrings of public functions run and give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import hear_mwmae
import tasks

MODULES = (
    "tasks.format.metadata",
    "tasks.format.task",
    "tasks.find",
    "tasks.format.audio",
    "tasks.format.resample",
    "tasks.format.digest",
    "hear_mwmae.loading",
    "hear_mwmae.embedding",
    "hear_mwmae.config",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str, sample_tasks: Path, tmp_path: Path) -> None:
    """`sample_tasks` is a folder of the sample tasks, `folder` an empty one."""
    module = importlib.import_module(name)
    given = {"sample_tasks": sample_tasks, "folder": tmp_path}
    found = doctest.testmod(module, extraglobs=given, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("package", [tasks, hear_mwmae], ids=lambda package: package.__name__)
def test_every_public_function_has_an_example(package: object) -> None:
    functions = [getattr(package, name) for name in package.__all__ if name[0].islower()]
    assert functions
    without = [function.__name__ for function in functions if ">>> " not in function.__doc__]
    assert without == []
