"""plica's contract of codecs, over this one: `pytest examples/dct_codec`, once it is installed."""

from plica.testing.codec import CodecContract


class TestCosines(CodecContract):
    """All of it; nothing is left out."""

    name = "dct-8x4-2d"
