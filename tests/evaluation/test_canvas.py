import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plica.evaluation.canvas import (
    ACCENT,
    ROOM_FOR_LETTERS,
    Canvas,
    measure_text,
    shorten,
    spell,
    wrap,
)


def test_what_the_font_lacks_is_spelled_in_what_it_has():
    assert spell("−5 × 3 – Schädel → 中\n") == "-5 x 3 - Schadel -> ? "


@given(st.text(max_size=60))
def test_any_text_can_be_measured_and_shortened(text):
    assert measure_text(shorten(text, 100)) <= 100


@given(st.text(alphabet="ab cdefgh ", max_size=200))
def test_wrapped_lines_fit_and_keep_every_word(text):
    lines = wrap(text, 120)

    assert all(measure_text(line) <= 120 for line in lines)
    if "…" not in "".join(lines):
        assert " ".join(lines).split() == text.split()


def test_letters_stand_only_where_there_is_room_between_them():
    """Of a picture that is wide and flat, left and right have room; top and bottom have none."""
    canvas = Canvas(200, ROOM_FOR_LETTERS - 4)
    canvas.letter((0, 0, 200, ROOM_FOR_LETTERS - 4), "RLAP")

    drawn = np.asarray(canvas.page) == ACCENT
    columns = np.flatnonzero(drawn.all(axis=-1).any(axis=0))
    assert columns.min() < 20
    assert columns.max() > 180
    assert not ((columns > 50) & (columns < 150)).any()
