"""report.html: what it shows, that nothing in it reaches outside or runs, and how it looks in a browser."""

import html
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import markupsafe
import numpy as np
import pytest
from paths import MODELS
from run_helpers import arguments, ledger_lines
from tiny_task import make_task

from evaluation.errors import EvaluationError
from evaluation.report.figures.saved import SavedFigure
from evaluation.report.html.classes import class_views
from evaluation.report.html.clips import hardest_clips
from evaluation.report.html.page import Section, write_html
from evaluation.results.reading import read_run
from evaluation.results.run_file import read_run_file
from evaluation.run import main

EVIL = "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">"
FOLDS = {"split_mode": "new_split_kfold", "splits": ["fold00", "fold01", "fold02"], "nfolds": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run: a task of folds and one of several labels, whose first label is evil."""
    root = tmp_path_factory.mktemp("run")
    make_task(root / "tasks" / "tiny-v1-full", rate=16000, clips=6, **FOLDS)
    several = make_task(
        root / "tasks" / "several-v1-full",
        rate=16000,
        clips=8,
        task_name="several",
        prediction_type="multilabel",
        evaluation=["mAP"],
    )
    (several / "labelvocabulary.csv").write_text('idx,label\n0,"' + EVIL.replace('"', '""') + '"\n1,10\n')
    for split in ("train", "valid", "test"):
        names = json.loads((several / f"{split}.json").read_text())
        labels = {name: [EVIL, 10] if i % 3 == 0 else [10] for i, name in enumerate(names)}
        (several / f"{split}.json").write_text(json.dumps(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEAR_MWMAE_CACHE", str(root / "cache"))
        patch.syspath_prepend(str(MODELS))
        options = ("--preset", "quick", "--seeds", "3", "--save-predictions", "--run", "first")
        assert main(arguments(root / "tasks", root, *options)) == 0
    return root / "first"


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    figure = SavedFigure("heat_map", "Shades & hatches.", run / "heat_map.png", run / "heat_map.svg")
    figure.svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    section = Section("Ranks <i>", ["model", "rank"], [["a", "2.0"], [EVIL, "1.0 ± 0.5"]], ["by `rank`"])
    path = write_html(read_run(run), [run], run, figures=[figure], statistics=[section])
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


class _Elements(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))


def test_nothing_in_the_page_reaches_outside(page: str) -> None:
    for tag, attributes in _Elements(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:image/", "data:audio/"))
    assert not re.search(r"url\(|@import|https?://", page)


def test_text_from_outside_is_escaped_wherever_it_stands(page: str) -> None:
    assert page.count("<script") == 1
    assert str(markupsafe.escape(EVIL)) in page
    for tag, attributes in _Elements(page).tags:
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "img" or attributes["src"].startswith("data:image/svg+xml;base64,")
    assert "Ranks &lt;i&gt;" in page
    assert "<strong>Heat map</strong> Shades &amp; hatches.</figcaption>" in page


def test_every_seed_and_fold_is_in_the_class_views(run: Path) -> None:
    views = {view.task: view for view in class_views(read_run(run), [run])}
    tiny = views["tiny-v1-full"]
    assert (tiny.measure, tiny.labels, tiny.rows) == ("recall", ["2", "10"], [9, 9])
    for column, confusion in enumerate(tiny.confusions):
        right = 0.0
        for line in ledger_lines(run):
            if line["model"] == confusion.model and line["task"] == "tiny-v1-full":
                right += 6 * line["scores"]["top1_acc"]
        diagonal = [confusion.cells[i][i] for i in range(2)]
        shares = [cell.share if cell else 0.0 for cell in diagonal]
        assert sum(27 * share for share in shares) == pytest.approx(right)
        assert [row[column] for row in tiny.scores] == pytest.approx(shares)
        wrong = [cell for row, own in enumerate(confusion.cells) for cell in own[:row] + own[row + 1 :]]
        assert sorted(confusion.frequent) == sorted(cell.text for cell in wrong if cell)
    several = views["several-v1-full"]
    assert (several.measure, several.rows, several.confusions) == ("average precision", [3, 8], [])
    for column, model in enumerate(several.models):
        mean = np.mean([line["scores"]["mAP"] for line in ledger_lines(run) if _is(line, model, "several")])
        assert np.mean([row[column] for row in several.scores]) == pytest.approx(mean)


def _is(line: dict, model: str, task: str) -> bool:
    return line["model"] == model and line["task"].startswith(task)


def test_the_hardest_clips_have_the_largest_loss_over_models_and_seeds(run: Path) -> None:
    losses: dict[str, list[float]] = {}
    for path in run.glob("predictions/*/tiny-*/*.npz"):
        with np.load(path) as arrays:
            truth = arrays["scores"][arrays["target"] > 0].astype(float)
            part = json.loads(str(arrays["about"]))["test"]
            for file, value in zip(arrays["files"], truth, strict=True):
                losses.setdefault(f"{part}/{file}", []).append(-math.log(value))
    assert {len(values) for values in losses.values()} == {6}
    jobs = read_run_file(run)["jobs"]
    (tiny,) = [view for view in hardest_clips(read_run(run), [run], jobs) if view.task.startswith("tiny")]
    expected = sorted(losses, key=lambda name: -np.mean(losses[name]))[:5]
    assert [clip.file for clip in tiny.clips] == expected
    assert tiny.clips[0].loss == pytest.approx(np.mean(losses[expected[0]]), rel=1e-5)
    assert all(clip.audio.startswith("data:audio/mpeg;base64,") for clip in tiny.clips)
    assert re.fullmatch(r"says (2|10) \d+ %(, truth \d+ %)?; right \d of 3", tiny.clips[0].answers[0])


def test_sound_that_is_absent_or_too_much_is_said(run: Path) -> None:
    jobs = read_run_file(run)["jobs"]
    remarks = {
        clip.remark
        for view in hardest_clips(read_run(run), [run], jobs, audio_bytes=100)
        for clip in view.clips
    }
    assert remarks == {"sound left out: the page has no room for more"}
    gone = [{**job, "directory": "/nowhere"} for job in jobs]
    remarks = {clip.remark for view in hardest_clips(read_run(run), [run], gone) for clip in view.clips}
    assert remarks == {"sound not at hand"}


def test_provenance_names_command_versions_and_hashes(run: Path, page: str) -> None:
    content = read_run_file(run)
    for value in (content["versions"]["torch"], *(model["fingerprint"] for model in content["models"])):
        assert value in page
    assert {job["task_digest"] for job in content["jobs"]} <= set(re.findall(r"[0-9a-f]{64}", page))
    assert "of wall time (h:mm:ss), as measured when" in page
    seconds = {line["stack"]: line["stack_seconds"] for line in ledger_lines(run)}
    assert f"0:00:{round(sum(seconds.values())):02} of wall time (h:mm:ss) for the classifiers" in page
    assert f"{sum(line['flops'] for line in ledger_lines(run)):.3g} in the classifiers" in page


def test_random_weights_and_synthetic_tasks_are_marked(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("run.json", "ledger.jsonl", "details.jsonl"):
        shutil.copy(run / name, copy)
    results = replace(read_run(copy), marks={"band_energy": "random init"}, synthetic=True)
    page = write_html(results, [copy], copy).read_text()
    assert "Synthetic sample tasks: these numbers say" in page
    assert "Not every model is trained" in page
    shown = re.findall(r'<span class="model">band_energy</span>(.{0,40})', page)
    assert len(shown) >= 4
    assert all(' <span class="badge">random init</span>' in after for after in shown)
    for short in ("tiny", "several"):
        badge = rf'{short}-v1-full(<br>|\s|<small>.*?</small>)*<span class="badge">synthetic'
        assert re.search(badge, page)
    assert "Hardest clips" not in page, "neither a heading nor a link to clips that are not there"


def test_mistakes_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="is not the directory of a run"):
        write_html(read_run(run), [tmp_path], tmp_path)


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on this machine to open the page in")


HARNESS = """<body>
<iframe id="page" src="report.html" style="width:{width}px; height:800px; border:0"></iframe>
<script>
const frame = document.getElementById("page");
frame.onload = () => {{
  const inner = frame.contentDocument, table = inner.querySelector("table.sortable");
  for (const part of inner.querySelectorAll("details")) part.open = true;
  const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent.trim());
  const button = table.tHead.rows[0].cells[1].querySelector("button");
  button.click(); const down = cells(); button.click(); const up = cells();
  const report = {{
    title: inner.title, width: inner.documentElement.scrollWidth, down, up,
    aria: table.tHead.rows[0].cells[1].getAttribute("aria-sort"),
    scripts: inner.scripts.length, images: [...inner.images].map((image) => image.naturalWidth),
    requests: frame.contentWindow.performance.getEntriesByType("resource")
      .filter((entry) => !entry.name.startsWith("data:")).length,
  }};
  document.body.innerHTML = ""; document.body.append("REPORT" + JSON.stringify(report) + "END");
}};
</script>"""


@pytest.mark.parametrize("width", [390, 1400])
def test_in_a_browser_it_fits_sorts_and_runs_nothing_foreign(
    run: Path, page: str, tmp_path: Path, width: int
) -> None:
    program = _chromium()
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    (tmp_path / "harness.html").write_text(HARNESS.format(width=width))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    address = (tmp_path / "harness.html").as_uri()
    shown = subprocess.run(
        [program, *options, address], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    report = json.loads(html.unescape(re.search(r"REPORT(.*)END", shown).group(1)))
    assert report["title"] == "HEAR evaluation: first"
    assert report["width"] <= width
    assert report["scripts"] == 1
    assert report["images"] == [9]
    assert report["requests"] == 0
    means = [float(cell.split()[0]) for cell in report["up"]]
    assert means == sorted(means)
    assert report["down"] == report["up"][::-1] or len(set(means)) < len(means)
    assert report["aria"] == "ascending"
