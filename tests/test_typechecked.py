"""Types are held against what functions are called with, wherever tests call them."""

import ast

import pytest
from beartype.roar import BeartypeCallHintParamViolation
from tests.typechecked import find_hidden

import plica
from plica.codecs.directory import make_network
from plica.formats import store_writing


def test_what_is_of_another_type_is_refused():
    with pytest.raises(BeartypeCallHintParamViolation, match="calibrated"):
        plica.Grid.from_spacing((1, 1, 1), calibrated="yes")
    with pytest.raises(BeartypeCallHintParamViolation, match="of"):
        make_network({"kind": "kl"}, of=1)


def test_a_whole_number_is_a_float():
    assert plica.Grid.from_spacing((1, 1, 1), (1, 2, 3)).spacing_mm == (1.0, 2.0, 3.0)


def test_names_for_type_checkers_alone_take_anything():
    source = "if TYPE_CHECKING:\n    import torch\n    from a import B as C\nfrom d import E\n"
    torch, named = find_hidden(ast.parse(source))

    assert (torch[0], torch[1].Tensor) == ("torch", object)
    assert named == ("C", object)
    assert store_writing.Store is object
