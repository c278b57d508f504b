"""How a network is led over an image: the pieces change nothing, and progress is told."""

import numpy as np
import pytest
import torch
from tests.networks.compacts import SIZES, make

import plica
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import load
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.running import Meter, Running
from plica.errors import SettingsError, UnknownName
from plica.grid import Grid
from plica.image import Image, Unit
from plica.preparation.minmax import MinMax


class Cells:
    """An autoencoder that says nothing of what it sees."""

    dims, factor, in_channels, code_channels = 3, 4, 1, 1

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool3d(x, 4)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(z, scale_factor=4, mode="nearest")


def codec_of(name: str, **running) -> NetworkCodec:
    network = make(SIZES[name])
    card = CodecCard(
        name="made", family="compact", summary="", dims=network.dims, factor=network.factor,
        channels=network.code_channels, in_channels=1, expects="", licence="", source="",
        receptive_field=network.receptive_field, tileable=True,
    )  # fmt: skip
    return NetworkCodec(
        card, network, "sha256:0", lambda image: (MinMax(),), padding="edge",
        running=Running(**running),
    )  # fmt: skip


def scan(shape=(29, 22, 13), channels=1) -> Image:
    pixels = np.random.default_rng(1).integers(-900, 1200, (channels, *shape)).astype(np.int16)
    return Image(pixels, Grid.from_spacing(shape), Unit.HU)


@pytest.mark.parametrize("name", ["one grid, 2D", "several grids, 2D", "finer decoder, 3D"])
@pytest.mark.parametrize("tile", [8, 20])
def test_tiles_change_neither_latents_nor_images(name, tile):
    image = scan((29, 22, 5), channels=2)
    whole = codec_of(name)
    latent = whole.encode(image)
    tiled = codec_of(name, tile=tile)

    codes = tiled.encode(image).codes
    pixels = tiled.decode(latent).pixels

    assert np.abs(codes - latent.codes).max() < 1e-5 * latent.codes.std()
    decoded = whole.decode(latent).pixels
    assert (pixels != decoded).mean() < 1e-3  # rounded to whole numbers, on either side of a half
    assert np.abs(pixels.astype(int) - decoded).max() <= 1


@pytest.mark.parametrize("name", ["linear-4x1-3d", "linear-4x3-2d", "bicubic-4x-3d"])
def test_the_codecs_inside_have_tiles_that_change_nothing(name):
    image = scan()
    whole = load(name).encode(image)

    tiled = load(name, tile=12).encode(image)

    assert tiled.codec == whole.codec
    np.testing.assert_allclose(tiled.codes, whole.codes, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "shape", "most"),
    [("one grid, 2D", (181, 150, 1), 2**18), ("finer decoder, 3D", (61, 50, 45), 5 * 2**19)],
)
def test_no_tile_holds_more_than_it_may(name, shape, most, monkeypatch):
    sizes = []
    codec = codec_of(name)
    encode = codec.network.encode
    monkeypatch.setattr("plica.codecs.plan.WORKING_BYTES", most)
    monkeypatch.setattr(codec.network, "encode", lambda x: (sizes.append(x.numel()), encode(x))[1])

    codec.encode(scan(shape))

    assert len(sizes) > 1
    assert max(sizes) * codec.network.floats_per_voxel[0] * 4 <= most


@pytest.mark.parametrize("name", ["one grid, 2D", "finer decoder, 3D"])
def test_progress_rises_to_its_end_there_and_back(name):
    told = []
    codec = codec_of(name, tile=16, progress=lambda done, total: told.append((done, total)))

    latent = codec.encode(scan())
    there, told[:] = list(told), []
    codec.decode(latent)

    for one in (there, told):
        done = [done for done, _ in one]
        assert len(done) > 2
        assert done == sorted(done)
        assert {total for _, total in one} == {done[-1]}


def test_windows_tell_of_their_progress_too():
    told = []
    card = CodecCard(
        name="cells", family="cells", summary="", dims=3, factor=4, channels=1, in_channels=1,
        expects="", licence="", source="", native_window=16,
    )  # fmt: skip
    running = Running(progress=lambda done, total: told.append((done, total)))
    codec = NetworkCodec(card, Cells(), "sha256:0", lambda image: (MinMax(),), running=running)

    codec.encode(scan())

    assert told[-1][0] == told[-1][1] == 32 * 24 * 16
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_any_codec_may_be_watched():
    told = []
    for name in ("jpeg2000", "identity", "linear-4x1-3d"):
        load(name, progress=lambda *now: told.append(now)).encode(scan())
    assert told


@pytest.mark.parametrize("tile", [0, 7, -64, 64.0, "64", True])
def test_what_is_no_tile_is_refused_on_loading(tile):
    with pytest.raises(SettingsError, match="tile is the side of a tile"):
        plica.load("linear-4x1-3d", tile=tile)


def test_what_cannot_be_called_is_no_progress():
    with pytest.raises(SettingsError, match="progress is a function"):
        plica.load("linear-4x1-3d", progress="yes")


def test_codecs_without_exact_tiles_say_so():
    with pytest.raises(UnknownName, match="no option tile"):
        plica.load("identity", tile=64)
    card = CodecCard(
        name="made", family="kl", summary="", dims=3, factor=4, channels=1, in_channels=1,
        expects="", licence="", source="", tileable=True,
    )  # fmt: skip

    assert not NetworkCodec(card, Cells(), "sha256:0", lambda image: ()).tiles


def test_a_meter_never_tells_of_more_than_there_is():
    told = []
    meter = Meter(10, lambda done, total: told.append((done, total)))
    for _ in range(3):
        meter.advance(10 / 3 + 0.3)
    assert told == [(4, 10), (7, 10), (10, 10)]
