"""The contract of codecs, over everything in the table that has its weights here."""

import pytest

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import listing
from plica.testing.codec import CodecContract, load_once

ELSEWHERE = {"hub", "file"}
CARDS = {name: card for name, card in listing() if isinstance(card, CodecCard)}
HERE = [name for name, card in CARDS.items() if card.weights.kind not in ELSEWHERE]


@pytest.mark.parametrize("codec", HERE, indirect=True)
class TestEveryCodec(CodecContract):
    @pytest.fixture
    def codec(self, request):
        return load_once(request.param)
