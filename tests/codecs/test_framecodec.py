"""Volumes as sequences: nothing is cut, restarted, shifted or lost on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import plica
from plica.codecs import catalogue
from plica.codecs.card import CodecCard
from plica.codecs.codec import Offer
from plica.codecs.framecodec import FrameCodec
from plica.codecs.medvae import picture_steps
from plica.codecs.preparing import Preparing
from plica.codecs.running import Running
from plica.errors import LatentError, SettingsError, TooLarge, UnusablePixels
from plica.formats import latents
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.frames import Framed
from plica.registry import Registry

OBLIQUE = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 2.1, 11], [0, 0, 0, 1.0]])


class Folding:
    """Keeps all values: cells of pixels and groups of frames become channels, in order.

    It adds the number of pieces it was given before, times `drift`, so that a codec that restarts
    it, or shows it frames twice, is found out.
    """

    factor, period, in_channels, code_channels, streams = 2, 4, 3, 3 * 4 * 4, True
    frames_at_a_time, floats_per_voxel, kept_per_code = 4, (8.0, 8.0), (0.0, 0.0)

    def __init__(self, *, causal: bool = True) -> None:
        self.causal = causal
        self.shown: list[int] = []

    def _groups(self, pieces):
        frames = torch.cat(list(pieces), dim=2)
        self.shown.append(frames.shape[2])
        first = frames[:, :, :1].expand(-1, -1, self.period - 1, -1, -1)
        return torch.cat([first, frames], dim=2) if self.causal else frames

    def encode_stream(self, frames):
        x = self._groups(frames)
        n, c, t, h, w = x.shape
        x = x.reshape(n, c, t // 4, 4, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
        yield from x.reshape(n, c * 16, t // 4, h // 2, w // 2).split(1, dim=2)

    def decode_stream(self, codes):
        z = torch.cat(list(codes), dim=2)
        n, _, t, h, w = z.shape
        x = z.reshape(n, 3, 4, 2, 2, t, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
        x = x.reshape(n, 3, t * 4, h * 2, w * 2)
        yield from x[:, :, 3 if self.causal else 0 :].split(5, dim=2)

    def encode(self, x):
        return torch.cat(list(self.encode_stream([x])), dim=2)

    def decode(self, z):
        return torch.cat(list(self.decode_stream([z])), dim=2)


def codec_of(network: Framed, **settings) -> FrameCodec:
    card = CodecCard(
        name="folding", family="made", summary="Keeps all.", dims=3, factor=network.factor,
        channels=network.code_channels, in_channels=3, expects="", licence="", source="",
        period=network.period, causal=network.causal,
    )  # fmt: skip
    return FrameCodec(card, network, "sha256:0", picture_steps, **settings)


OFFER = Offer(codec_of(Folding()).card, lambda request: codec_of(Folding()))


def make_ct(shape: tuple[int, int, int]) -> Image:
    values = np.random.default_rng(sum(shape)).integers(-1000, 1000, (1, *shape)).astype(np.int16)
    return Image(values, Grid(shape, OBLIQUE), Unit.HU)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", [(7, 5, 1), (6, 9, 3), (5, 4, 4), (4, 6, 5), (3, 3, 300)])
def test_every_voxel_comes_back_to_its_place(shape, causal, tmp_path):
    image = make_ct(shape)
    codec = codec_of(Folding(causal=causal))

    latent = codec.encode(image)
    plica.write(latent, tmp_path / "a.latent")

    for decoded in (codec.decode(latent), codec.decode(latents.read(tmp_path / "a.latent"))):
        np.testing.assert_array_equal(decoded.pixels, image.pixels)
        assert decoded.pixels.dtype == image.pixels.dtype
        assert decoded.grid.agrees_with(image.grid, 1e-3)
        assert decoded.unit is Unit.HU


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_slices_may_be_taken_along_any_axis(axis):
    image = make_ct((6, 5, 7))
    codec = codec_of(Folding(), preparing=Preparing(axis=axis))

    np.testing.assert_array_equal(codec.decode(codec.encode(image)).pixels, image.pixels)


def test_a_causal_network_sees_each_slice_once():
    network = Folding()
    codec_of(network).encode(make_ct((4, 4, 11)))

    assert network.shown == [13]  # 1 + 4 · 3: the eleven, and the last one twice more


def test_the_grid_of_codes_lies_over_the_slices_they_stand_for():
    """The second code of a causal network stands for slices 1 … 4: its centre is at 2.5."""
    image = make_ct((4, 4, 9))
    latent = codec_of(Folding()).encode(image)

    codes = latent.prepared.coarser(latent.factor)
    to_voxel = np.linalg.inv(image.grid.affine)
    places = [to_voxel @ np.append(codes.to_world(np.array([0, 0, k])), 1) for k in (0, 1, 2)]

    np.testing.assert_allclose([place[2] for place in places], [-1.5, 2.5, 6.5], atol=1e-9)


def test_values_outside_the_window_are_counted_or_kept():
    image = make_ct((6, 6, 6))
    values = image.pixels.copy()
    values[0, 2, 3, 4] = 2500
    image = image.with_pixels(values)

    counted = codec_of(Folding()).encode(image)
    kept = codec_of(Folding(), preparing=Preparing(keep_outside=True))

    assert counted.trail.losses["window"]["voxels_above"] == 1
    np.testing.assert_array_equal(kept.decode(kept.encode(image)).pixels, values)


def test_what_cannot_be_done_is_refused():
    codec = codec_of(Folding())
    image = make_ct((6, 6, 6))
    latent = codec.encode(image)

    with pytest.raises(LatentError, match="no projected latent"):
        codec.encode(image, kind="projected")
    with pytest.raises(LatentError, match="leave out the seed"):
        codec.encode(image, seed=1)
    with pytest.raises(SettingsError, match="slices in order"):
        codec_of(Folding(), running=Running(tile=64)).encode(image)
    with pytest.raises(TooLarge, match="needs at least"):
        codec_of(Folding(), running=Running(memory=1)).encode(image)
    with pytest.raises(LatentError, match="other weights"):
        FrameCodec(codec.card, Folding(), "sha256:1", picture_steps).decode(latent)


def test_progress_ends_where_all_is_done():
    told = []
    codec = codec_of(Folding(), running=Running(progress=lambda done, of: told.append((done, of))))
    latent = codec.encode(make_ct((4, 4, 9)))
    encoding, told[:] = list(told), []
    codec.decode(latent)

    for part in (encoding, told):
        assert part[-1][0] == part[-1][1]
        assert len({done for done, _ in part}) > 1


def test_keys_and_values_of_all_slices_are_foretold():
    network = Folding()
    plain = codec_of(network).plan_encoding(make_ct((8, 8, 41))).piece_bytes
    network.kept_per_code = (1000.0, 0.0)

    more = codec_of(network).plan_encoding(make_ct((8, 8, 41))).piece_bytes

    assert more - plain == pytest.approx(4 * 1000 * 4 * 4 * 11, rel=0.01)


@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_latent_whose_lead_in_was_altered_is_refused(before):
    codec = codec_of(Folding())
    latent = codec.encode(make_ct((6, 6, 9)))
    records = [
        replace(one, undo={**one.undo, "before": before}) if one.step == "leadin" else one
        for one in latent.trail.records
    ]

    with pytest.raises(LatentError):
        codec.decode(replace(latent, trail=replace(latent.trail, records=tuple(records))))


def test_a_network_that_needs_all_slices_is_not_shown_a_few():
    network = Folding()
    network.streams = False

    with pytest.raises(SettingsError, match="leave out tiling=exact"):
        codec_of(network, running=Running(tiling="exact")).encode(make_ct((6, 6, 6)))
    image = make_ct((6, 6, 6))
    codec = codec_of(network)
    np.testing.assert_array_equal(codec.decode(codec.encode(image)).pixels, image.pixels)


def test_numbers_of_classes_are_refused():
    labels = make_ct((4, 4, 4))
    with pytest.raises(UnusablePixels, match="name classes, which folding would blend"):
        codec_of(Folding()).encode(labels.with_pixels(labels.pixels, unit=Unit.LABEL))


def test_an_outline_is_the_latent_but_for_its_codes():
    image = make_ct((6, 9, 7))
    codec = codec_of(Folding())
    latent, outline = codec.encode(image), codec.outline_latent(image)

    assert not outline.codes.any()
    assert outline.codes.base.size == 1
    for name in ("codec", "prepared", "source", "factor", "unit", "trail"):
        assert getattr(outline, name) == getattr(latent, name)
    assert outline.codes.shape == latent.codes.shape
    plans = [codec.plan_decoding(one).held_bytes for one in (latent, outline)]
    assert plans[0] == plans[1]
    mapped = codec.plan_decoding(latent, mapped=True).held_bytes
    assert plans[0] - mapped == 4 * image.pixels.size


def test_channels_that_do_not_fill_a_networks_are_refused():
    grid = Grid((4, 4, 4), OBLIQUE)
    with pytest.raises(UnusablePixels, match="folding takes 3 channels, but the image has 2"):
        codec_of(Folding()).encode(Image(np.arange(128, dtype="u1").reshape(2, 4, 4, 4), grid))


def test_grey_stored_as_colour_is_folded_once_and_comes_back_as_colour():
    grey, codec = make_ct((6, 6, 9)), codec_of(Folding())
    image = grey.with_pixels(np.repeat(grey.pixels, 2, axis=0))
    latent, alone = codec.encode(image), codec.encode(grey)

    np.testing.assert_array_equal(latent.codes, alone.codes)
    expected = np.repeat(codec.decode(alone).pixels, 2, axis=0)
    np.testing.assert_array_equal(codec.decode(latent).pixels, expected)


def test_codes_of_another_number_are_damaged():
    codec = codec_of(Folding())
    latent = codec.encode(make_ct((6, 6, 9)))
    with pytest.raises(LatentError, match=r"folding makes 48 code channels at factor .* damaged"):
        codec.decode(replace(latent, codes=latent.codes[:-1]))


def test_a_device_has_memory_of_its_own():
    image = make_ct((16, 16, 16))
    needed = codec_of(Folding()).plan_encoding(image).piece_bytes

    there = codec_of(Folding(), device="meta", running=Running(memory=1))
    assert there.plan_encoding(image).piece_bytes == needed
    poor = replace(there, running=Running(device_memory=needed // 2))
    with pytest.raises(TooLarge, match="give device_memory=") as error:
        poor.plan_encoding(image)
    assert error.value.least == needed


def test_options_are_those_of_networks_but_for_the_precision(monkeypatch):
    table = Registry("codec", (("folding", f"{__name__}:OFFER"),))
    monkeypatch.setattr(catalogue, "CODECS", table)

    codec = plica.load("folding", axis="coronal", memory="1G", precision="float32")
    assert (codec.preparing.axis, codec.running.memory) == ("coronal", 2**30)
    with pytest.raises(SettingsError, match="folding is run in float32 alone: leave out precision"):
        plica.load("folding", precision="bfloat16")
    with pytest.raises(SettingsError, match="slices in order"):
        plica.load("folding", tile=64)
