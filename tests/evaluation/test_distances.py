"""A report of distances says what each number is worth, and what it does not say."""

import json
import math

import numpy as np
import pytest

from plica.evaluation.distances import (
    COLUMNS,
    Found,
    Judged,
    build_report,
    is_beyond,
    list_cells,
    list_warnings,
    spell,
    summarise,
)
from plica.evaluation.publish import publish
from plica.metrics.distribution import Features, compare_sets


def make_judged(metric="fid", *, shift=0.0, name="bicubic", n=24, repeats=5) -> Judged:
    chance = np.random.default_rng(0)
    names = tuple(f"i{m}" for m in range(n))
    real, other = (
        Features(chance.normal(size=(n, 3)) + moved, names, names, {"name": "made"})
        for moved in (0.0, shift)
    )
    found = compare_sets(real, other, metric, repeats=repeats)
    return Judged(name, "made", found, found.warnings)


def test_a_set_beyond_the_floor_is_named_and_one_within_is_not():
    near, far = make_judged(), make_judged(shift=9.0, name="broken")

    assert not is_beyond(near.distance)
    assert is_beyond(far.distance)
    told = summarise((near, far))
    assert "bicubic: 0 of 1 numbers lie beyond" in told
    assert "broken: 1 of 1 numbers lie beyond the real set's own floor: fid (made)" in told


@pytest.mark.parametrize("metric", ["precision", "coverage"])
def test_where_higher_is_better_beyond_is_below(metric):
    assert is_beyond(make_judged(metric, shift=30.0).distance)


def test_without_a_floor_nothing_is_beyond_it():
    one = make_judged(shift=9.0, repeats=0)

    assert not is_beyond(one.distance)
    assert list_cells(one)[4] == "none"


def test_a_row_holds_value_interval_floor_and_both_counts():
    cells = list_cells(make_judged("kid"))

    assert len(cells) == len(COLUMNS)
    assert cells[1] == "kid ↓"
    assert cells[2].endswith("*")
    assert " to " in cells[3]
    assert cells[4].endswith("N 12)")
    assert cells[5] == "24 (24) / 24 (24)"
    assert cells[6] == "100"


def test_each_warning_stands_once_with_the_numbers_it_is_of():
    lines = list_warnings((make_judged("precision"), make_judged("recall"), make_judged("kid")))

    assert len([line for line in lines if "below the 200" in line]) == 1
    assert any(line.startswith("precision, recall: N = 24 is below the 200") for line in lines)


def test_numbers_are_spelt_with_a_true_minus():
    assert [spell(x) for x in (-0.01234, 0.0, math.nan, 12345.0)] == [
        "−0.0123", "0", "none", "1.23e+04",
    ]  # fmt: skip


def test_the_report_is_published_with_every_number_in_its_record(tmp_path):
    found = Found(
        (make_judged(), make_judged("coverage", name="linear")),
        failures=("recall of linear: too few",),
        notes=("chest.png is left out",),
        setting={"real images": "24"},
        record={"seed": 0},
    )

    page = publish(build_report(found), tmp_path / "report")

    record = json.loads((tmp_path / "report" / "report.json").read_text())["record"]
    assert [one["metric"] for one in record["distances"]] == ["fid", "coverage"]
    assert record["distances"][0]["floor"]["n"] == 12
    assert record["failures"] == ["recall of linear: too few"]
    text = page.read_text()
    for words in ("halves of the real set", "chest.png is left out", "of equal distributions"):
        assert words in text


def test_nothing_at_all_is_said_to_be_nothing():
    assert summarise(()) == "Nothing could be computed."
    assert build_report(Found(())).record["distances"] == []
