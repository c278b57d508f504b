"""A run that is cut off goes on where it was, or not at all."""

from dataclasses import dataclass, replace

import pytest

from plica.errors import OutputError, SettingsError, UnreadableFile
from plica.evaluation.journal import Journal
from plica.evaluation.results import Result


@dataclass(frozen=True)
class Asked:
    codecs: tuple[str, ...] = ("a",)


RESULT = Result(("p1", "", "x.png"), "a")
OTHER = Result(("p2", "", "../../y.png"), "a")


def test_results_are_read_back_in_the_order_asked_for(tmp_path):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)
    journal.add(OTHER)
    journal.add(RESULT)
    assert journal.read([RESULT.where, OTHER.where]).all == (RESULT, OTHER)


def test_a_resumed_run_knows_what_it_has(tmp_path):
    Journal.begin(tmp_path / "run", Asked(), resume=True).add(RESULT)
    again = Journal.begin(tmp_path / "run", Asked(), resume=True)
    assert again.has(RESULT.where)
    assert not again.has(OTHER.where)


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path):
    Journal.begin(tmp_path / "run", Asked(), resume=False)
    with pytest.raises(SettingsError, match="other settings"):
        Journal.begin(tmp_path / "run", Asked(codecs=("b",)), resume=True)


def test_a_run_that_is_there_is_not_begun_again(tmp_path):
    Journal.begin(tmp_path / "run", Asked(), resume=False)
    with pytest.raises(OutputError, match="not empty"):
        Journal.begin(tmp_path / "run", Asked(), resume=False)


def test_a_damaged_result_is_named(tmp_path):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)
    journal.add(RESULT)
    (file,) = (tmp_path / "run" / "results").iterdir()
    file.write_text("{")
    with pytest.raises(UnreadableFile, match=file.name):
        journal.read([RESULT.where])


def test_no_case_name_leads_out_of_the_folder(tmp_path):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)
    journal.add(OTHER)
    assert len(list((tmp_path / "run" / "results").iterdir())) == 1


def test_a_result_that_says_why_there_is_nothing_has_failed(tmp_path):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)
    journal.add(RESULT)
    journal.add(replace(OTHER, error="too small"))
    absent = (("p3", "", "z.png"), "a", 0)
    assert [journal.failed(one) for one in (RESULT.where, OTHER.where, absent)] == [
        False,
        True,
        False,
    ]


def test_a_result_that_cannot_be_written_leaves_nothing_half_written(tmp_path, monkeypatch):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)

    def fail(*_):
        raise OSError(28, "no space left")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OutputError, match=r"cannot be written: .*no space left"):
        journal.add(RESULT)
    assert not list((tmp_path / "run").rglob("*.partial"))


def test_a_run_that_came_to_nothing_takes_away_the_folders_it_made_alone(tmp_path):
    place = tmp_path / "new" / "report" / "run"
    Journal.begin(place, Asked(), resume=False).discard()
    assert not (tmp_path / "new").exists()

    journal = Journal.begin(place, Asked(), resume=False)
    (place.parent / "notes.txt").write_text("kept")
    journal.discard()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["report", "notes.txt"]

    Journal.begin(place, Asked(), resume=False).add(RESULT)
    Journal.begin(place, Asked(), resume=True).discard()
    assert Journal.begin(place, Asked(), resume=True).has(RESULT.where)


def test_a_run_that_cannot_be_removed_is_said(tmp_path, monkeypatch):
    journal = Journal.begin(tmp_path / "run", Asked(), resume=False)

    def fail(*_):
        raise OSError(13, "permission denied")

    monkeypatch.setattr("shutil.rmtree", fail)
    with pytest.raises(OutputError, match="cannot be removed"):
        journal.discard()
