"""The contract over the codecs that `python -m plica.testing` was given; see `__main__`."""

from __future__ import annotations

import pytest

from plica.codecs.codec import Codec
from plica.testing.codec import CodecContract, load_once


class TestNamed(CodecContract):
    """All of it, for each of them."""

    @pytest.fixture
    def codec(self, request: pytest.FixtureRequest) -> Codec:
        """One of the codecs that were named."""
        return load_once(request.param)
