"""What is written: names that no file can break out of, a page that needs nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
import small_models
import soundfile

from hear_mwmae.analysis.concealment import conceal, draw_lost
from hear_mwmae.analysis.folder import OutputFolder
from hear_mwmae.analysis.masking import choose_mask
from hear_mwmae.analysis.page import Page, Player, Section, render
from hear_mwmae.analysis.pictures import HERTZ, draw_concealment, draw_reconstruction
from hear_mwmae.analysis.reconstruction import reconstruct
from hear_mwmae.errors import UserError

HOSTILE = '<script>alert("1")</script>&'


def test_every_text_is_escaped_and_nothing_is_fetched() -> None:
    section = Section(
        HOSTILE, HOSTILE, "a.png", HOSTILE, [Player(HOSTILE, "a.wav")], [(HOSTILE,), (HOSTILE,)]
    )
    html = render(Page(HOSTILE, [HOSTILE], [section], [HOSTILE]))
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;") == 10
    assert "http" not in html
    assert re.findall(r'src="([^"]*)"', html) == ["a.wav", "a.png"]


def test_names_are_plain_and_never_twice(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out")
    given = [
        "a b.wav",
        "a b.flac",
        "A_B.ogg",
        "..wav",
        "日本.wav",
        '"><x.wav',
        "x" * 300 + ".wav",
        "../u.wav",
    ]
    names = [folder.name_for(Path(name)) for name in given]
    assert names[:6] == ["a_b", "a_b-2", "A_B-3", "sound", "sound-2", "x"]
    assert len({name.lower() for name in names}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name) for name in names)
    assert not (tmp_path / "out").exists()


def test_sounds_are_written_whole_and_clipped(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "new" / "out")
    assert folder.write_sound("a", np.array([0, 0.5, 3, -3], np.float32)) == "a.wav"
    sound, rate = soundfile.read(tmp_path / "new" / "out" / "a.wav")
    assert rate == small_models.RATE
    np.testing.assert_allclose(sound, [0, 0.5, 1, -1], atol=1e-4)
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["a.wav"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="out: is a file; name a folder"):
        OutputFolder(tmp_path / "out")
    with pytest.raises(UserError, match="cannot be written"):
        OutputFolder(tmp_path / "out" / "deeper").write_page("x")


@pytest.mark.parametrize("config", small_models.CONFIGS.values(), ids=small_models.CONFIGS)
def test_pictures_have_axes_in_seconds_and_hertz_and_one_scale(config) -> None:
    model, sound = small_models.trained(config), small_models.voice(1.0)
    figure = draw_reconstruction(reconstruct(model, sound, choose_mask()), model.front_end, "a $ b_c^ title")
    *rows, bar = figure.axes
    assert [axis.get_ylabel() for axis in rows] == ["original\nHz", "masked\nHz", "output\nHz"]
    assert len({axis.images[0].get_clim() for axis in rows}) == 1
    assert [text.get_text() for text in rows[0].get_yticklabels()] == ["125", "500", "1 k", "2 k", "4 k"]
    band = rows[0].get_yticks()[HERTZ.index(1000)]
    assert abs(np.interp(band, range(model.front_end.bands), model.front_end.centres_hz) - 1000) < 5
    left, right = rows[0].get_xlim()
    assert abs(left) < 0.01
    assert right == pytest.approx(1.0, abs=0.03)
    assert rows[-1].get_xlabel() == "s"
    assert "dB" in bar.get_ylabel()

    found = conceal(model, sound, draw_lost(model, len(sound), loss=0.25))
    figure = draw_concealment(found, model.front_end, "title")
    grid = np.array(figure.axes[:6]).reshape(3, 2)
    assert len({axis.get_xlim() for axis in grid.ravel()}) == 1
    assert len({axis.get_ylim() for axis in grid[:, 1]}) == 1
    assert len({axis.images[0].get_clim() for axis in grid[:, 0]}) == 1
    for axis in grid.ravel():
        marked = {round(patch.get_x(), 6) for patch in axis.patches}
        assert marked == {round(begin, 6) for begin, _ in found.spans}
