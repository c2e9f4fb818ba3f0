"""Names of models and tasks are short, printable, and different from each other to the eye."""

from specs import specs

from evaluation.results.names import cut_name, look_of_name, model_names, task_titles


def test_names_that_would_look_alike_are_told_apart() -> None:
    labels = [
        "m@a\x1b.pt",
        "m@a\\x1b.pt",
        "m@caf\u00e9.pt",
        "m@cafe\u0301.pt",
        "m@x y.pt",
        "m@x\u00a0y.pt",
        "m@a\n.pt",
    ]
    names = model_names(specs(labels))
    assert len({look_of_name(name) for name in names.values()}) == len(labels)
    assert all(name.replace("\u00a0", " ").isprintable() for name in names.values())
    assert len({look_of_name(name) for name in cut_name(names, 6).values()}) == len(labels)


def test_a_path_stands_in_a_name_only_where_it_must() -> None:
    names = model_names(
        specs(["lab.net@/data/one/last.pt", "lab.net@/data/two/last.pt", "other@/data/one/best.pt"])
    )
    assert names["other@/data/one/best.pt"] == "other"
    assert names["lab.net@/data/one/last.pt"] == "net@one/last"
    assert model_names(specs(["net@/x/a.pt", "net@/x/b.pt"])) == {
        "net@/x/a.pt": "net@a",
        "net@/x/b.pt": "net@b",
    }


def test_two_tasks_of_one_short_name_are_told_apart() -> None:
    assert task_titles({"esc50-v2.0-full": "ESC-50", "esc50-mine": "ESC-50", "bo": "BO"}) == {
        "esc50-v2.0-full": "ESC-50 (esc50-v2.0-full)",
        "esc50-mine": "ESC-50 (esc50-mine)",
        "bo": "BO",
    }


def test_a_numbered_name_is_not_that_of_another() -> None:
    labels = ["a\x1b", "a\\x1b", "a\\x1b #1"]
    assert len({look_of_name(name) for name in model_names(specs(labels)).values()}) == 3
