"""What a run is foretold to take, and when that is said."""

import pytest

from plica.bulk.forecast import Forecast, format_rate


def test_it_is_told_once_and_what_was_done_while_it_started_does_not_count():
    forecast = Forecast(1000, now=0.0)
    told = [forecast.look(done, 50 * done, now) for now, done in
            ((5, 0), (30, 4), (35, 8), (39, 12), (41, 14), (45, 18))]  # fmt: skip
    assert told[:4] == [None] * 4
    assert told[5] is None
    estimate = told[4]
    assert estimate.series == 986
    assert estimate.seconds == pytest.approx(986 * 11 / 10)
    assert estimate.bytes == 50 * 986


def test_slow_ones_are_foretold_by_three():
    forecast = Forecast(100, now=0.0)
    assert forecast.look(1, 9, 20.0) is None
    assert forecast.look(3, 27, 59.0) is None
    assert forecast.look(4, 36, 80.0).seconds == pytest.approx(96 * 20)


def test_a_short_run_is_not_foretold():
    forecast = Forecast(30, now=0.0)
    assert [forecast.look(n, n, float(n)) for n in range(30)] == [None] * 30


@pytest.mark.parametrize(("rate", "said"), [(63300.0, "63300 series"), (0.25, "4.0 s for each")])
def test_rates_are_numbers_people_read(rate, said):
    assert format_rate(rate).startswith(said)
