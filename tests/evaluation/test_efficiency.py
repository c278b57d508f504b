import json
import math
from dataclasses import replace

import pytest

from plica.evaluation.efficiency import (
    Capacity,
    Fed,
    Ratio,
    compare_times,
    record_operations,
    repay,
    show_capacities,
    show_encoding,
    show_operations,
    show_sections,
    show_times,
    summarise,
)

GIB = 2**30
FULL = Fed("1024×1024", (1, 1024, 1024), multiply_adds=603_510_016_000, elsewhere=3_766_026_240,
           batch=1, forward=(8.0, 10.0, 9.0),
           forward_capacity=Capacity(4, 4, 8 * GIB, "tried"))  # fmt: skip
LATENT = Fed("linear-4x1-2d", (1, 256, 256), "linear-4x1-2d", 37_719_377_920, 235_376_640,
             batch=2, forward=(1.0, 1.25, 1.5), encode=(2.0, 4.0, 3.0),
             forward_capacity=Capacity(70, 64, 8 * GIB, "tried", bound=True))  # fmt: skip


def test_ratios_are_taken_turn_by_turn():
    ratio = compare_times((8.0, 10.0, 9.0), (1.0, 2.0, 3.0))
    assert (ratio.median, ratio.least, ratio.greatest, ratio.turns) == (5, 3, 8, 3)
    assert str(ratio) == "5× (3 to 8)"
    assert compare_times((8.0, 1.0), (2.0,), batches=2).median == 8


def test_encoding_pays_once_it_is_saved():
    assert repay(encode=3.0, full=2.0, latent=0.5) == 2
    assert repay(encode=3.0, full=2.0, latent=2.0) == math.inf


def test_the_row_of_operations_stands_beside_the_precursors():
    record = record_operations("hrnet-w64", 1, [FULL, LATENT])
    assert [row["published_giga"] for row in record["rows"]] == [607.33, 37.96]
    assert record["rows"][0]["giga_multiply_adds"] == 603.510016
    table = show_operations("hrnet-w64", 1, [FULL, LATENT])
    assert table.rows[0][2:] == ("603.51", "607.28", "607.33", "-0.01 %", "1.0×")
    assert table.rows[1][-1] == "16.0×"


def test_another_network_has_no_published_row():
    assert record_operations("small-2d", 1, [FULL])["rows"][0]["published_giga"] is None
    assert record_operations("hrnet-w64", 2, [FULL])["rows"][0]["published_giga"] is None


def test_times_are_those_of_images_whatever_the_batch():
    first, second = show_times([FULL, LATENT]).rows
    assert first[2] == "9 s (8 to 10, n = 3)"
    assert second[3] == f"{2 / 1.25:.3g}"
    assert second[4] == str(compare_times(FULL.forward, LATENT.forward, batches=2))
    assert second[5] == "–"


def test_what_encoding_costs_is_said_in_passes():
    (row,) = show_encoding([FULL, LATENT]).rows
    assert row[:2] == ("linear-4x1-2d", "3 s (2 to 4, n = 3)")
    assert row[2] == f"{3 / (9 - 1.25 / 2):.2g}"


def test_largest_batches_are_compared():
    table = show_capacities([FULL, LATENT])
    assert table.title == "Largest batch in 8 GiB"
    assert table.rows[1][1:3] == ("≥ 70", "≥ 17.5×")


def test_what_was_left_out_is_said():
    left = Fed("512×512", (1, 512, 512), left_out=("forward pass: left out",))
    titles = {section.title: section for section in show_sections("small-2d", 1, [FULL, left])}
    assert titles["What was left out"].prose == ("512×512: forward pass: left out.",)


def test_records_are_json():
    for one in (FULL, LATENT, Fed("x", (1, 8, 8))):
        record = one.to_json()
        assert json.loads(json.dumps(record, allow_nan=False)).keys() == record.keys()


def test_what_latents_save_is_said_in_a_sentence():
    (said,) = summarise("hrnet-w64", [FULL, LATENT])
    assert said.startswith("Fed with latents of linear-4x1-2d in place of 1024×1024 images")
    assert "16 times fewer multiply-adds and 16 times more images a second" in said


@pytest.mark.parametrize("passes", [0, 1])
def test_nothing_measured_is_no_number(passes):
    assert math.isnan(Fed("x", (1, 8, 8), batch=passes + 1).throughput)


def test_one_turn_has_no_range_and_no_full_batch_no_ratio():
    assert str(Ratio(2.0, 2.0, 2.0, 1)) == "2× (one turn)"
    assert str(Ratio(2.0, 1.5, 2.5, 3)) == "2× (1.5 to 2.5)"


def test_where_no_image_of_full_size_fits_no_ratio_is_given():
    none = replace(FULL, forward_capacity=Capacity(0, 0, 8 * GIB, "tried"))

    assert show_capacities([none, LATENT]).rows[1][1:3] == ("≥ 70", "–")
