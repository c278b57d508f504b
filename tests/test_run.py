"""A run's folder holds what was asked for and what came of it, and nothing of the machine."""

import importlib.metadata
import json
import platform
import shutil
from dataclasses import dataclass

import pytest

from plica.errors import OutputError, UnreadableFile
from plica.evaluation.journal import Journal
from plica.run import Run, describe_environment, find_commit, say_version


@pytest.mark.parametrize(
    ("text", "commit"),
    [
        ('{"vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}', "0123456789abcdef"),
        ('{"url": "file:///plica", "dir_info": {"editable": true}}', ""),
        ('{"vcs_info": {"commit_id": "; rm"}}', ""),
        ("[]", ""),
        ("not JSON", ""),
        (None, ""),
    ],
)
def test_the_commit_is_what_pip_noted_of_a_repository(monkeypatch, text, commit):
    class Installed:
        def read_text(self, name):
            return text if name == "direct_url.json" else None

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert find_commit() == commit
    assert say_version("0.1") == (f"0.1 (commit {commit})" if commit else "0.1")


@dataclass(frozen=True)
class Recipe:
    rate: float = 0.5


def test_a_start_that_was_stopped_before_its_recipe_is_begun_anew(tmp_path):
    Run.start(tmp_path / "whole", Recipe())
    for name in ("environment.json", ".recipe.toml.0123abcd.part"):
        (tmp_path / "cut").mkdir(exist_ok=True)
        (tmp_path / "cut" / name).write_text("{}")
    journal = Journal.begin(tmp_path / "cut", Recipe(0.25), resume=True)
    assert journal.run.recipe(Recipe) == Recipe(0.25)
    assert journal.run.environment() == Run.open(tmp_path / "whole").environment()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("a")
    with pytest.raises(OutputError, match="not empty"):
        Journal.begin(tmp_path / "other", Recipe(), resume=True)


def test_a_run_keeps_recipe_environment_log_and_results(tmp_path):
    run = Run.start(tmp_path / "runs" / "one", Recipe(0.25))
    run.log("fitted", n=3)
    assert not run.is_finished
    run.finish({"psnr_db": 33.2})
    again = Run(tmp_path / "runs" / "one")
    assert again.is_finished
    assert again.recipe(Recipe) == Recipe(0.25)
    assert again.results() == {"psnr_db": 33.2}
    assert [(e["event"], e["n"]) for e in again.events()] == [("fitted", 3)]
    assert again.environment()["packages"]["numpy"]
    assert sorted(p.name for p in again.folder.iterdir()) == [
        "environment.json",
        "log.jsonl",
        "recipe.toml",
        "results.json",
    ]


def test_a_folder_in_use_and_a_second_finish_are_refused(tmp_path):
    run = Run.start(tmp_path / "one", Recipe())
    with pytest.raises(OutputError, match="is not empty"):
        Run.start(tmp_path / "one", Recipe())
    run.finish({})
    with pytest.raises(OutputError, match="finished once"):
        run.finish({})


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        Run.start(tmp_path / "file" / "run", Recipe())


def test_a_log_cut_off_in_its_last_line_is_read_up_to_it(tmp_path):
    run = Run.start(tmp_path / "one", Recipe())
    run.log("first")
    with (run.folder / "log.jsonl").open("a") as file:
        file.write('{"event": "sec')
    assert [event["event"] for event in run.events()] == ["first"]


def test_missing_and_damaged_results_are_an_error(tmp_path):
    run = Run.start(tmp_path / "one", Recipe())
    assert run.events() == []
    with pytest.raises(UnreadableFile, match=r"results\.json cannot be read"):
        run.results()
    (run.folder / "results.json").write_text("[" * 200_000)
    with pytest.raises(UnreadableFile, match=r"results\.json cannot be read"):
        run.results()
    (run.folder / "results.json").write_text("[1]")
    with pytest.raises(UnreadableFile, match="not a record"):
        run.results()


def test_the_environment_says_nothing_of_host_user_or_folders(tmp_path):
    text = json.dumps(describe_environment())
    assert set(json.loads(text)) == {
        "python", "implementation", "system", "machine", "processors", "packages"
    }  # fmt: skip
    assert len(platform.node()) < 4 or platform.node() not in text
    assert "/" not in text


def test_a_run_is_opened_where_one_was_started(tmp_path):
    Run.start(tmp_path / "one", Recipe(0.25))
    assert Run.open(tmp_path / "one").recipe(Recipe) == Recipe(0.25)
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UnreadableFile, match=r"no run's folder: there is no recipe\.toml"):
            Run.open(folder)


@pytest.mark.parametrize("line", ["[1, 2]", "3", '"a"', "null"])
def test_a_line_that_is_no_record_is_no_log(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{{"event": "begun"}}\n{line}\n')

    with pytest.raises(UnreadableFile, match="no record"):
        Run(tmp_path).events()


@pytest.mark.parametrize("line", [b'{"event": ', b"[" * 200_000, b'{"event": "\xff"}'])
def test_a_line_that_is_not_json_is_no_log(tmp_path, line):
    (tmp_path / "log.jsonl").write_bytes(b'{"event": "begun"}\n' + line + b"\n")

    with pytest.raises(UnreadableFile, match=r"log\.jsonl is not a run's log"):
        Run(tmp_path).events()


def test_what_cannot_be_written_any_more_is_named(tmp_path):
    run = Run.start(tmp_path / "one", Recipe())
    shutil.rmtree(run.folder)

    with pytest.raises(OutputError, match=r"the log in .*one cannot be written"):
        run.log("fitted")
    with pytest.raises(OutputError, match=r"results\.json cannot be written"):
        run.finish({})


def test_a_folder_that_became_a_file_is_named(tmp_path):
    run = Run.start(tmp_path / "one", Recipe())
    shutil.rmtree(run.folder)
    run.folder.write_text("")

    with pytest.raises(OutputError, match=r"results\.json cannot be written"):
        run.finish({})
