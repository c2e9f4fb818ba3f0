"""The notebooks of `examples/` run as they are, in a folder of their own, and keep no output."""

import shutil
from pathlib import Path

import pytest
from paths import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(notebook: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason='nbclient is not installed: pip install -e ".[dev]"')
    nbformat = pytest.importorskip("nbformat", reason='nbformat is not installed: pip install -e ".[dev]"')
    shutil.copytree(ROOT / "results" / "bundled", tmp_path / "results" / "bundled")
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(content, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    printed = [output for cell in content.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any(output.output_type in ("execute_result", "display_data") for output in printed)


def test_there_are_four_and_none_holds_output() -> None:
    nbformat = pytest.importorskip("nbformat", reason='nbformat is not installed: pip install -e ".[dev]"')
    assert len(NOTEBOOKS) == 4
    for notebook in NOTEBOOKS:
        cells = nbformat.read(notebook, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
