"""A table is read whole or refused by name: nothing of it is guessed, and nothing unbounded."""

import sys

import pytest

from plica import tables
from plica.errors import InputError, MissingExtra, TooLarge
from plica.tables import read_table


def write(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_cells_keep_their_commas_line_breaks_and_quotes(tmp_path):
    path = write(tmp_path, 'a,b\n"1,2","x\ny"\n"say ""so""",\n\n')
    assert read_table(path) == [{"a": "1,2", "b": "x\ny"}, {"a": 'say "so"', "b": ""}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1\n".encode("utf-16"), "not UTF-8; save it as UTF-8"),
        ("a,b\nSchädel,1\n".encode("latin-1"), "not UTF-8; save it as UTF-8"),
        ("a,b\n1\n", "line 2: the row has another number of cells"),
        ("a,b\n1,2,3\n", "line 2: the row has another number of cells"),
        ('a,b\n"1,2\n', "cannot be read"),
        ("a,b\n" + "x" * 200_000 + ",1\n", "cannot be read"),
        ("a,a\n1,2\n", "two columns called a"),
        ("", "lacks the column a"),
        ("c,b\n1,2\n", "lacks the column a; it has: c, b"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path, content), ("a",))
    assert "t.csv" in str(caught.value)


def test_a_table_that_is_not_there_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "a\0b.csv"):
        with pytest.raises(InputError, match="cannot be read"):
            read_table(path)


def test_a_table_beyond_the_limits_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    path = write(tmp_path, "a,b\n" + "1,2\n" * 20)
    monkeypatch.setattr(tables, "MOST_ROWS", 10)
    with pytest.raises(TooLarge, match="more than 10 rows"):
        read_table(path)
    monkeypatch.setattr(tables, "MOST_COLUMNS", 1)
    with pytest.raises(TooLarge, match="2 columns"):
        read_table(path)
    monkeypatch.setattr(tables, "MOST_BYTES", 50)
    with pytest.raises(TooLarge, match="84 bytes, and 50 are the limit"):
        read_table(path)


# -- Parquet -------------------------------------------------------------------------------------


def write_parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_a_parquet_table_is_text_with_nothing_as_nothing(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet", {"a": ["x", None], "b": [1, 2], "c": [True, None], "d": [0.5, 2.0]}
    )
    assert read_table(path, ("a",)) == [
        {"a": "x", "b": "1", "c": "True", "d": "0.5"},
        {"a": "", "b": "2", "c": "", "d": "2.0"},
    ]


def test_parquet_that_is_damaged_or_holds_lists_is_refused(tmp_path):
    whole = write_parquet(tmp_path / "t.parquet", {"a": ["x"] * 100})
    for name, content in (("cut", whole.read_bytes()[:-20]), ("text", b"a,b\n1,2\n")):
        path = write(tmp_path, content, f"{name}.parquet")
        with pytest.raises(InputError, match=f"{name}.parquet cannot be read"):
            read_table(path)
    with pytest.raises(InputError, match="the column a holds list"):
        read_table(write_parquet(tmp_path / "l.parquet", {"a": [[1], [2]]}))


def test_parquet_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "t.parquet", {"a": ["x" * 1000] * 2000})
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(tables, "MOST_BYTES", 500_000)
    with pytest.raises(TooLarge, match="unpacks to more than 500000 bytes"):
        read_table(path)


@pytest.mark.parametrize(("limit", "most"), [("MOST_ROWS", 19), ("MOST_COLUMNS", 1)])
def test_parquet_of_too_many_rows_or_columns_is_refused(tmp_path, monkeypatch, limit, most):
    path = write_parquet(tmp_path / "t.parquet", {"a": ["x"] * 20, "b": ["y"] * 20})
    monkeypatch.setattr(tables, limit, most)
    with pytest.raises(TooLarge, match=r"t\.parquet unpacks to .* in 20 rows and 2 columns"):
        read_table(path)


def test_without_pyarrow_the_pip_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'plica\[tables\]'"):
        read_table(write(tmp_path, b"PAR1", "t.parquet"))
