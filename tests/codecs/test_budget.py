"""Amounts of memory as people say them, and as machines have them."""

import pytest

from plica.codecs import budget
from plica.codecs.budget import LEAST_BYTES, choose_memory, find_machine_bytes, parse_memory
from plica.errors import SettingsError


@pytest.mark.parametrize(
    ("asked", "count"),
    [("4G", 4 << 30), ("512M", 512 << 20), ("1.5 GiB", 3 << 29), ("2gb", 2 << 30),
     ("2097152K", 2 << 30), ("1T", 1 << 40), (str(1 << 30), 1 << 30), (1 << 30, 1 << 30),
     (2.5e9, 2_500_000_000), (None, None)],
)  # fmt: skip
def test_an_amount_is_read_in_any_usual_spelling(asked, count):
    assert parse_memory(asked) == count


@pytest.mark.parametrize(
    "asked",
    ["", "much", "4X", "-4G", "4G or so", "1e9", "NaN", "9" * 70, True, [4], float("nan"),
     float("inf"), 0, -1, "0", LEAST_BYTES - 1, "1K"],
)  # fmt: skip
def test_what_is_no_amount_is_refused_by_the_name_of_its_option(asked):
    with pytest.raises(SettingsError, match="--memory takes an amount such as 8G"):
        parse_memory(asked, "--memory")


def test_a_container_with_less_memory_than_its_machine_is_believed(tmp_path, monkeypatch):
    machine = find_machine_bytes()
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(budget, "_LIMITS", (limit,))
    for text, expected in (("max\n", None), ("1073741824\n", 1 << 30), ("9" * 18, None)):
        limit.write_text(text)
        assert find_machine_bytes() == (expected or find_machine_bytes())
        assert find_machine_bytes() >= min(machine, 1 << 30)
    limit.write_text("1073741824\n")
    assert choose_memory(None) == 1 << 29
    assert choose_memory(7) == 7
