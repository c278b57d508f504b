"""Charts have one look, the same everywhere, for every eye, and fit to be printed in a paper."""

import itertools
import sys
import zlib

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from plica.errors import InputError, MissingExtra
from plica.evaluation.charts import distribution_chart
from plica.evaluation.drawing import (
    PALETTE,
    Looks,
    add_legend,
    draw,
    lay_out,
    refuse_nothing,
    shorten,
)

matplotlib = pytest.importorskip("matplotlib")

# G. Machado, M. Oliveira, L. Fernandes: A physiologically-based model for simulation of color
# vision deficiency, IEEE TVCG 15(6), 2009; full severity, on linear light.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def light(colour):
    c = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def seen(colour, vision):
    c = np.clip(np.array(VISION[vision]) @ light(colour), 0, 1)
    encoded = np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded[None, None])[0, 0]


def chart():
    values = {"a": {"x": np.arange(9.0), "y": np.arange(9.0) ** 2}}
    return distribution_chart(values, "psnr (dB) ↑")


@pytest.mark.parametrize("vision", VISION)
def test_any_two_colours_are_told_apart(vision):
    apart = [
        deltaE_ciede2000(seen(one, vision), seen(other, vision))
        for one, other in itertools.combinations(PALETTE, 2)
    ]

    assert min(apart) > 16


def test_every_colour_stands_out_of_white():
    contrast = [1.05 / (light(colour) @ (0.2126, 0.7152, 0.0722) + 0.05) for colour in PALETTE]

    assert min(contrast) >= 3


def test_more_names_than_colours_still_look_unlike_each_other():
    names = [f"codec {n}" for n in range(4 * len(PALETTE))]
    looks = Looks(names)

    assert len({(looks.colour(n), looks.marker(n)) for n in names}) == len(names)
    assert len({(looks.colour(n), str(looks.dash(n))) for n in names}) == len(names)


@pytest.mark.usefixtures("as_shipped")
def test_one_drawing_is_one_file_whatever_the_settings():
    before = chart()
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 20}):
        after = chart()

    assert after.png == before.png
    assert after.pdf == before.pdf
    assert b"CreationDate" not in before.pdf


def test_drawing_leaves_no_trace_in_the_settings():
    before = dict(matplotlib.rcParams)
    chart()

    assert dict(matplotlib.rcParams) == before


@pytest.mark.usefixtures("as_shipped")
def test_letters_of_a_pdf_are_letters_that_publishers_take():
    pdf = chart().pdf

    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtra, match=r"plica\[eval\]"):
        draw("empty", lambda page: None, height=1, caption="", alt="")


@pytest.mark.parametrize(("stopped", "left"), [(True, KeyboardInterrupt), (False, zlib.error)])
def test_an_interruption_stays_one_where_a_stream_cannot_be_closed_after_it(
    stopped, left, monkeypatch
):
    def print_pdf(*_, **__):
        try:
            if stopped:
                raise KeyboardInterrupt
        finally:
            raise zlib.error("inconsistent stream state")

    monkeypatch.setattr(matplotlib.backends.backend_pdf.FigureCanvasPdf, "print_pdf", print_pdf)
    with pytest.raises(left):
        chart()


def test_an_empty_chart_is_refused():
    with pytest.raises(InputError, match="no finite number"):
        refuse_nothing([], "a spectrum")


def test_a_long_label_is_cut_and_says_so():
    assert shorten("x" * 50, 10) == "x" * 9 + "…"
    assert shorten("short", 10) == "short"


def test_panels_that_are_left_over_are_hidden_and_unnamed_curves_need_no_legend():
    page = pytest.importorskip("matplotlib.figure").Figure()

    panels = lay_out(page, 4, 3)
    add_legend(page, panels)

    assert [axes.get_visible() for axes in page.axes] == [True] * 4 + [False] * 2
    assert panels == page.axes[:4]
    assert page.legends == []
