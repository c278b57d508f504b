from hypothesis import given
from hypothesis import strategies as st

from plica.evaluation.canvas import measure_text, shorten, spell, wrap


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
