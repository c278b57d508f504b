"""Interpolation codecs are in the table under their names and refuse what they do not have."""

import numpy as np
import pytest

from plica.codecs.codec import Request
from plica.codecs.interpolation import OFFERS
from plica.errors import LatentError, UnknownName
from plica.grid import Grid
from plica.image import Image, Unit


def test_names_and_facts_agree():
    assert len(OFFERS) == 25
    for name, offer in OFFERS.items():
        card = offer.card
        assert name == card.name == f"{card.family}-{card.factor}x-{card.dims}d"
        assert card.channels == card.in_channels == 1
        assert card.tileable
        assert card.weights.kind == "none"


def test_fingerprints_differ_from_codec_to_codec():
    codecs = [offer.build(Request(device="cpu")) for offer in OFFERS.values()]
    assert len({codec.fingerprint for codec in codecs}) == len(OFFERS)


@pytest.mark.parametrize("name", ["bicubic-4x-2d", "area-8x-3d"])
def test_a_ramp_keeps_its_world_coordinates(name):
    codec = OFFERS[name].build(Request(device="cpu"))
    shape = (64, 64, 64 if codec.card.dims == 3 else 1)
    grid = Grid(shape, np.diag([-0.5, -0.5, 2.0, 1.0]))
    j = np.indices(shape)[1]
    ramp = Image(j[None].astype(np.float32), grid, Unit.RELATIVE)
    latent = codec.encode(ramp)
    values = latent.codes[0] * 31.5 + 31.5
    places = latent.grid.to_world(np.moveaxis(np.indices(latent.grid.shape), 0, -1))
    expected = grid.to_index(places)[..., 1]
    # along j the codes may be turned, but never away from where their grid says they are
    inner = (slice(None), slice(3, -3)) if codec.card.dims == 2 else (slice(3, -3),) * 3
    np.testing.assert_allclose(values[inner], expected[inner], atol=2e-3)


def test_what_there_is_not_is_refused(tmp_path):
    offer = OFFERS["area-4x-2d"]
    with pytest.raises(UnknownName, match="no weights"):
        offer.build(Request(weights=tmp_path / "w"))
    with pytest.raises(UnknownName, match="no option 'rate'"):
        offer.build(Request(options={"rate": 1.0}))
    with pytest.raises(UnknownName, match="no device 'gpu' on this machine"):
        offer.build(Request(device="gpu"))


def test_a_latent_of_another_kernel_is_refused():
    image = Image(np.zeros((1, 9, 9, 1), np.uint8), Grid.from_spacing((9, 9, 1)), Unit.DISPLAY)
    latent = OFFERS["area-4x-2d"].build(Request(device="cpu")).encode(image)
    with pytest.raises(LatentError, match="made by area-4x-2d"):
        OFFERS["bicubic-4x-2d"].build(Request(device="cpu")).decode(latent)
