"""Errors survive the way from one process to another, with their words."""

import pickle

import pytest

from plica import errors
from plica.errors import MissingExtra, PlicaError, TooLarge

MADE = [
    kind("what came, what was expected, what to do")
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, PlicaError) and kind is not MissingExtra
]
MADE += [MissingExtra("reading MINC", "nibabel", "minc"), TooLarge("too large", least=7)]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way(error):
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert getattr(found, "least", None) == getattr(error, "least", None)
