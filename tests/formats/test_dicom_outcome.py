"""Every real odd or damaged file comes to what the table says, in time and without a warning."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from plica.errors import PlicaError
from plica.formats import dicom
from plica.formats.dicom_outcome import outcome

TABLE = Path(__file__).with_name("dicom_outcomes.tsv").read_text(encoding="utf-8")
OUTCOMES = dict(line.split("\t") for line in TABLE.splitlines())
PACKAGED = [name for name in OUTCOMES if "/pydicom/" in name]


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_shared_file_comes_to_what_is_expected(shared: Path, name: str) -> None:
    assert outcome(shared / "data" / name) == OUTCOMES[name]


@pytest.mark.parametrize("name", PACKAGED)
def test_each_packaged_file_comes_to_the_same(name: str) -> None:
    path = get_testdata_file(Path(name).name, download=False)
    if path is None:
        pytest.skip(f"this pydicom does not carry {Path(name).name}")
    assert outcome(Path(str(path))) == OUTCOMES[name]


def test_the_table_names_every_dicom_file_of_both_folders(shared: Path) -> None:
    data = shared / "data"
    series = ("dicom-4d-series", "torchio-small-series")
    found = {
        str(path.relative_to(data))
        for folder in ("odd-formats", "bad-input")
        for path in (data / folder).rglob("*.dcm")
        if path.parent.name not in series
    }
    assert found <= set(OUTCOMES)


@pytest.mark.parametrize("name", [name for name in OUTCOMES if OUTCOMES[name].isidentifier()])
def test_a_refusal_is_one_or_two_sentences_with_the_files_name(shared: Path, name: str) -> None:
    path = shared / "data" / name
    with pytest.raises(PlicaError) as caught:
        dicom.read(path)
    assert type(caught.value).__name__ == OUTCOMES[name]
    assert 20 < len(str(caught.value)) < 600
    if path.suffix == ".dcm":
        assert path.name in str(caught.value)
