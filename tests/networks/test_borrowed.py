"""Networks of another library: what its import fails with is said."""

import sys
import types

import pytest

from plica.errors import MissingExtra
from plica.networks.borrowed import borrow


@pytest.mark.parametrize(
    ("raised", "said"),
    [("", "RuntimeError"), ("Failed:\n  torchvision::nms does not exist.\n", "torchvision::nms")],
)
def test_an_import_that_fails_is_said_even_where_it_says_nothing(monkeypatch, raised, said):
    def fail(name):
        raise RuntimeError(raised)

    library = types.ModuleType("diffusers")
    library.__getattr__ = fail
    monkeypatch.setitem(sys.modules, "diffusers", library)
    with pytest.raises(MissingExtra, match=f"cannot be imported .*{said}"):
        borrow("AutoencoderKL")
