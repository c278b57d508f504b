"""What docs/probing.md says is so: its cohorts are made, and its last command runs."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plica.cli.main import app
from plica.networks.probes import PROBES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "probing.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(plica .*)$", PAGE, flags=re.MULTILINE)
QUICK = ("--epochs", "1", "--seeds", "1", "--size", "32x32", "--slices", "2", "--quiet")


@pytest.fixture(scope="module")
def cohorts(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    script = ROOT / "benchmarks" / "probe_cohorts.py"
    words = [sys.executable, script, "--data", shared / "data", "--out", folder / "cohorts"]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def read(table):
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_cohorts_are_as_large_as_the_page_says(cohorts):
    chest = [row for row in read(cohorts / "cohorts" / "chest.csv") if row["split"] == "train"]
    head = [row for row in read(cohorts / "cohorts" / "head.csv") if row["split"] == "train"]

    assert f"{len(chest)} radiographs of {len({row['patient'] for row in chest})} patients" in PAGE
    assert sorted(row["class"] for row in head) == ["FLAIR", "FLAIR", "T1", "T1"]
    assert all(Path(row["path"]).is_file() for row in [*chest, *head])


def test_its_last_command_runs(cohorts, monkeypatch):
    monkeypatch.chdir(cohorts)
    words = shlex.split(COMMANDS[-1])[1:]

    done = CliRunner().invoke(app, [*words, *QUICK, "--cache", "cache"], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    assert (cohorts / "head" / "index.html").is_file()


def test_its_probes_are_those_there_are():
    table = PAGE.split("## Probes")[1].split("\n\n")[1]
    listed = re.findall(r"^\| (`[^|]+`) \|", table, flags=re.MULTILINE)[1:]

    assert {name for cell in listed for name in re.findall(r"`([^`]+)`", cell)} == set(PROBES)
