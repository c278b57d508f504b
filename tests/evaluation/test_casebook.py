"""Tables case by case: complete in files, readable on a page, formulas for nobody."""

import csv
import io
import math
import sys

import pytest
from tests.evaluation.reports import CODECS, METRICS, make_results

from plica.errors import MissingExtra
from plica.evaluation import casebook
from plica.evaluation.casebook import (
    COLUMNS,
    list_facts,
    list_values,
    show_cases,
    show_failures,
    show_metrics,
    write_csv,
    write_parquet,
)
from plica.evaluation.results import Result, Results
from plica.metrics.metric import Value


def read(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"))))


def test_every_number_is_in_the_csv_with_all_its_digits():
    results = make_results()
    rows = read(write_csv(COLUMNS, list_values(results)))
    numbers = [value.value for result in results for value in result.values]

    assert [float(row["value"]) for row in rows] == numbers
    assert {row["metric"] for row in rows} == set(METRICS)
    assert {row["better"] for row in rows} == {"higher", "lower", "nearer zero"}


def test_no_cell_of_a_csv_is_a_formula():
    results = make_results()
    content = write_csv(COLUMNS, list_values(results)) + write_csv(*list_facts(results))
    cells = [cell for row in csv.reader(io.StringIO(content.decode())) for cell in row]
    texts = [cell for cell in cells if not is_number(cell)]

    assert any(cell.startswith("'=HYPERLINK") for cell in texts)
    assert not [cell for cell in texts if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_infinity_and_nothing_are_written_so():
    values = tuple(
        Value(name, number, "dB", "higher", None, "") for name, number in
        (("a", math.inf), ("b", math.nan), ("c", -math.inf))
    )  # fmt: skip
    rows = read(write_csv(COLUMNS, list_values(Results((Result(("p", "", ""), "x", "", values),)))))

    assert [row["value"] for row in rows] == ["inf", "", "-inf"]
    assert [row["data_range"] for row in rows] == [""] * 3


def test_facts_stand_beside_each_other_with_what_failed():
    columns, rows = list_facts(make_results())
    facts = read(write_csv(columns, rows))

    assert columns[-4:] == ("source_bytes", "latent_bytes", "encode_seconds", "code_shape")
    assert facts[0]["code_shape"] == "[3, 64, 64]"
    assert sum(row["error"] != "" for row in facts) == 2


def test_a_parquet_table_holds_the_same_as_the_csv():
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'tables'")
    results = make_results()
    table = parquet.read_table(io.BytesIO(write_parquet(results)))
    values = list(list_values(results))

    assert tuple(table.column_names) == COLUMNS
    assert table.column("value").to_pylist() == [row[COLUMNS.index("value")] for row in values]
    assert table.column("patient").to_pylist() == [row[0] for row in values]
    assert str(table.schema.field("value").type) == "double"
    assert write_parquet(Results(()))


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtra, match=r"plica\[tables\]"):
        write_parquet(make_results())


def test_failures_are_shown_each_with_its_reason():
    section = show_failures(make_results())

    assert section.prose[0].startswith("2 of 160 results are missing")
    assert [row[3][:15] for row in section.tables[0].rows] == ["the codec takes"] * 2
    assert show_failures(make_results(failures=False)) is None


def test_metrics_are_explained_with_unit_direction_and_range():
    (table,) = show_metrics(make_results()).tables

    assert table.rows[0][:4] == ("psnr", "dB", "higher", "255")
    assert table.rows[2][:4] == ("mae", "display", "lower", "needs none")
    assert show_metrics(Results(())) is None


def test_a_range_of_each_image_is_said_as_one():
    results = Results(tuple(
        Result((f"p{n}", "", ""), "x", "", (Value("psnr", 1.0, "dB", "higher", r, ""),))
        for n, r in enumerate((100.0, 900.0, 400.0))
    ))  # fmt: skip

    assert show_metrics(results).tables[0].rows[0][3] == "of each image: 100 to 900"


def test_cases_have_a_table_for_each_group():
    chest, breast = show_cases(make_results())

    assert chest.columns == ("case", "codec", "psnr (dB) ↑", "ms-ssim ↑", "mae (display) ↓",
                             "bias (display) →0")  # fmt: skip
    assert len(chest.rows) == 24 * len(CODECS) - 1
    assert "16 cases, 4 codecs" in breast.caption


def test_a_page_shows_so_many_cases_and_says_where_the_others_are(monkeypatch):
    monkeypatch.setattr(casebook, "MOST_SHOWN", 100)
    chest, breast = show_cases(make_results())

    assert (len(chest.rows), len(breast.rows)) == (95, 5)
    assert "58 more rows stand in cases.csv" in breast.caption


def test_a_page_that_is_full_has_no_empty_tables(monkeypatch):
    monkeypatch.setattr(casebook, "MOST_SHOWN", 50)

    (chest,) = show_cases(make_results())

    assert len(chest.rows) == 50
