import io
import math

import pytest
from PIL import Image as Pillow

from plica.errors import InputError
from plica.evaluation.rate_distortion import (
    Kept,
    describe_winners,
    list_series,
    record_storage,
    show_storage,
    show_winners,
)
from plica.evaluation.results import Result, Results
from plica.evaluation.storage import Match, Point
from plica.evaluation.storage_chart import Computing, Series, draw_plane

pytest.importorskip("matplotlib", reason="charts need matplotlib")
PIXELS = 8000


def point(codec, setting, size, psnr):
    return Point(codec, setting, size, size - 100, PIXELS, psnr)


def results(gain=3.0, exact=False):
    """Two images; the stream is better than the latent by `gain` dB in the same bytes."""
    found = []
    for n, base in enumerate((30.0, 34.0)):
        case = (f"p{n}", "", f"{n}.png")
        sizes = {"float32": 4000, "int8": 1000}
        points = [point("latent", setting, size, base) for setting, size in sizes.items()]
        same = {s: Match(point("stream", "r", b, base + gain), b, True) for s, b in sizes.items()}
        level = {s: Match(point("stream", "r", b // 4, base), base, True) for s, b in sizes.items()}
        shared = {"pixels": PIXELS, "raw_bytes": PIXELS, "source_bytes": 5000}
        facts = record_storage(points, {"stream": same}, {"stream": level})
        found.append(Result(case, "latent", "chest", facts={**shared, **facts}))
        rates = [point("stream", f"{r} bits per pixel", r * 1000, base + 2 * r) for r in (2, 1, 4)]
        rates += [point("stream", "without loss", 6000, math.inf)] if exact else []
        facts = record_storage(rates, {}, {})
        found.append(Result(case, "stream", "chest", facts={**shared, **facts}))
    return Results(tuple(found))


def test_tables_hold_means_and_comparisons():
    (section,) = show_storage(results())
    _, latents, streams = section.tables
    assert latents.columns[-2:] == ("stream, same bytes: dB", "stream, same dB: bytes")
    assert latents.rows[0] == (
        "latent", "float32", "2", "4,000", "4.000", "32.00", "35.00 (+3.00)", "25 %"
    )  # fmt: skip
    assert [row[1] for row in streams.rows] == [f"{r} bits per pixel" for r in (2, 1, 4)]
    assert "8,000 bytes as arrays, 5,000 as the files they came in" in section.prose[0]


@pytest.mark.parametrize(
    ("gain", "lost", "verdict"),
    [
        (3.0, 2, "storage is not where these latents win"),
        (-3.0, 0, "these latents win in storage too"),
        (math.inf, 2, "storage is not where these latents win"),
    ],
)
def test_who_wins_is_said_whoever_it_is(gain, lost, verdict):
    kept = [Kept.of(result) for result in results(gain=gain)]
    assert f"in {lost} of 2 comparisons" in describe_winners(kept)
    assert describe_winners(kept).endswith(f"{verdict}.")
    assert show_winners(kept, "chest").rows == (("latent", "float32", f"{lost} of 2"),)


@pytest.mark.parametrize(
    ("size", "psnr", "counted"),
    [(5000, 28.0, (0, 1)), (5000, 32.0, (0, 0)), (3000, 32.0, (1, 1)), (3000, 28.0, (0, 0))],
)
def test_without_a_file_of_as_many_bytes_only_a_plain_case_counts(size, psnr, counted):
    """Larger and worse loses to the latent, smaller and better beats it; others say nothing."""
    near = Match(point("stream", "r", size, psnr), 4000, False, "comes no nearer than this")
    facts = record_storage([point("latent", "float32", 4000, 30.0)], {"stream": {"float32": near}},
                           {"stream": {}})  # fmt: skip
    kept = [Kept.of(Result(("p", "", "1"), "latent", facts=facts))]
    (row,) = show_winners(kept, "chest").rows
    assert row[2] == (f"{counted[0]} of {counted[1]}" if counted[1] else "–")


def test_series_are_means_by_setting_and_what_has_no_psnr_is_no_point():
    latent, stream = list_series([Kept.of(result) for result in results(exact=True)])
    assert latent == Series("latent", True, (("float32", 4.0, 32.0), ("int8", 1.0, 32.0)))
    assert [rate for _, rate, _ in stream.points] == [1.0, 2.0, 4.0]
    assert not stream.latent


def test_the_figure_has_both_planes():
    computing = Computing("hrnet-w64", "1024×1024", 603.5, {"latent": 37.7})
    series = list_series([Kept.of(result) for result in results()])
    both, one = draw_plane(series, "chest", 2, computing), draw_plane(series, "chest", 2)
    sizes = [Pillow.open(io.BytesIO(figure.png)).size for figure in (both, one)]
    assert sizes[0][1] > 1.5 * sizes[1][1]
    assert both.pdf.startswith(b"%PDF")
    assert "latent int8: 1.00 bits per pixel, 32.0 dB" in both.alt
    assert "603.5 G multiply-adds" in both.alt
    assert "Computing" in both.caption
    assert both.png == draw_plane(series, "chest", 2, computing).png, "the same every time"


def test_nothing_is_no_figure():
    with pytest.raises(InputError, match="no finite number"):
        draw_plane([], "chest", 0)


def test_where_some_win_and_some_lose_and_where_nothing_compares_it_is_said():
    won, lost = (list(results(gain=gain)) for gain in (-3.0, 3.0))
    mixed = [Kept.of(result) for result in (won[0], *lost[2:])]
    assert "in 1 of 2 comparisons" in describe_winners(mixed)
    assert describe_winners(mixed).endswith("depends on the codec and the image.")
    alone = [Kept.of(result) for result in won if result.codec == "stream"]
    assert describe_winners(alone) == "No standard codec has a file of as many bytes as a latent."


def test_a_group_in_which_every_image_failed_has_no_section():
    failed = Result(("p9", "", "9.png"), "latent", "mammogram", error="too small")

    sections = list(show_storage(Results((*results(), failed))))

    assert [section.title for section in sections] == ["Storage: chest"]


def test_images_without_a_file_of_a_type_or_of_a_size_are_left_out_and_counted():
    """The first image has no int8 file; the stream comes as near as the second's PSNR nowhere."""
    near = Match(point("stream", "r", 900, 20.0), 34.0, False, "comes no nearer than this")
    first, stream, second, other = results()
    first.facts["points"].pop()
    second.facts["at_psnr"]["stream"]["int8"] = near.to_json()

    (section,) = show_storage(Results((first, stream, second, other)))

    *_, gain, share = section.tables[1].rows[1]
    assert (gain, share) == ("37.00 (+3.00) (1 of 2)", "–")


def test_what_latents_keep_without_loss_compares_with_nothing_and_is_no_point():
    same = {"stream": {"float32": Match(point("stream", "r", 4000, 50.0), 4000, True)}}
    facts = record_storage([point("latent", "float32", 4000, math.inf)], same, {"stream": {}})
    kept = [Kept.of(Result(("p", "", "1"), "latent", facts=facts))]

    assert show_winners(kept, "chest").rows == (("latent", "–", "–"),)
    assert list_series(kept) == []


def test_a_codec_whose_computing_is_not_known_has_no_mark_in_that_plane():
    series = list_series([Kept.of(result) for result in results()])

    figure = draw_plane(series, "chest", 2, Computing("hrnet-w64", "1024×1024", 603.5, {}))

    assert figure.alt.endswith("603.5 G multiply-adds.")
