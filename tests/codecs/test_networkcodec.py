"""A network around which everything is known: what the codec adds must be exactly undone."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plica.codecs.card import CodecCard
from plica.codecs.catalogue import load
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.preparing import Preparing
from plica.errors import LatentError, SettingsError, TooLarge, UnusablePixels
from plica.grid import Grid
from plica.image import Display, Image, Unit
from plica.preparation.minmax import MinMax

AFFINE = np.array([[0.9, 0.1, 0, 5], [-0.1, 0.8, 0.2, -7], [0, -0.1, 3.0, 11], [0, 0, 0, 1.0]])


class Cells:
    """Means of 4 × 4 (× 4) cells, repeated on the way back; with a posterior and a projection."""

    factor = 4
    code_channels = 1

    def __init__(self, dims: int, in_channels: int = 1) -> None:
        self.dims, self.in_channels = dims, in_channels
        self._pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[dims]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self._pool(x.mean(dim=1, keepdim=True), 4)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        whole = F.interpolate(z, scale_factor=4, mode="nearest")
        return whole.expand(-1, self.in_channels, *[-1] * self.dims)

    def posterior(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.encode(x)
        return mean, torch.full_like(mean, -4.0)

    def project(self, z: torch.Tensor) -> torch.Tensor:
        return z + 1


class Bare:
    """A network that has neither a posterior nor a projection."""

    factor, dims, in_channels = 4, 3, 1

    def __init__(self, code_channels: int = 1) -> None:
        self.code_channels = code_channels

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool3d(x, 4).expand(-1, self.code_channels, -1, -1, -1)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return F.interpolate(z[:, :1], scale_factor=4, mode="nearest")


def make(dims: int, in_channels: int = 1, **changes) -> NetworkCodec:
    card = CodecCard(
        name=f"cells-4x1-{dims}d", family="cells", summary="", dims=dims, factor=4, channels=1,
        in_channels=in_channels, expects="", licence="", source="", latents=("raw", "projected"),
    )  # fmt: skip
    codec = NetworkCodec(card, Cells(dims, in_channels), "sha256:0", lambda image: (MinMax(),))
    return dataclasses.replace(codec, **changes)


def scan(shape=(13, 10, 6), channels=1, dtype=np.int16) -> Image:
    random = np.random.default_rng(1)
    pixels = random.integers(-900, 1200, (channels, *shape)).astype(dtype)
    return Image(pixels, Grid(shape, AFFINE), Unit.HU)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_what_comes_back_is_on_the_sources_grid_in_its_unit_and_type(dims, channels, in_channels):
    image, codec = scan(channels=channels), make(dims, in_channels)

    decoded = codec.decode(codec.encode(image))

    assert decoded.grid.agrees_with(image.grid)
    assert decoded.unit is Unit.HU
    assert decoded.pixels.dtype == np.int16
    assert decoded.pixels.shape == image.pixels.shape


def test_a_plane_that_is_constant_per_cell_comes_back_exactly():
    values = np.kron(np.arange(12).reshape(4, 3), np.ones((4, 4)))[None, :, :, None] * 100
    image = Image(values.astype(np.int16), Grid.from_spacing((16, 12, 1)), Unit.RELATIVE)

    decoded = make(2).decode(make(2).encode(image))

    np.testing.assert_array_equal(decoded.pixels, image.pixels)


def test_a_bright_voxel_lights_the_code_at_its_own_place_in_the_world():
    pixels = np.zeros((1, 24, 20, 16), np.float32)
    pixels[0, 17, 6, 9] = 1000
    image = Image(pixels, Grid((24, 20, 16), AFFINE), Unit.RELATIVE)

    for dims, reach in ((2, (2, 2, 0.5)), (3, (2, 2, 2))):
        latent = make(dims).encode(image)
        brightest = np.unravel_index(np.argmax(latent.codes[0]), latent.codes.shape[1:])
        index = image.grid.to_index(latent.grid.to_world(brightest))
        # the cell that holds a voxel has its centre within half a cell of it
        assert np.all(np.abs(index - (17, 6, 9)) <= reach)


def test_each_channel_of_a_colour_image_is_folded_alone_where_the_network_sees_one():
    image = scan(channels=3)

    latent = make(2).encode(image)

    assert latent.codes.shape[0] == 3
    red = make(2).encode(image.with_pixels(image.pixels[:1]))
    assert latent.codes.shape[1:] == red.codes.shape[1:]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_grey_stored_as_colour_costs_what_grey_costs_and_comes_back_as_colour(dims, in_channels):
    grey, codec = scan(), make(dims, in_channels)
    image = grey.with_pixels(np.repeat(grey.pixels, 3, axis=0))

    latent, alone = codec.encode(image), codec.encode(grey)
    (together, _) = codec.encode_together([image, grey])
    decoded = codec.decode(latent)

    np.testing.assert_array_equal(latent.codes, alone.codes)
    np.testing.assert_allclose(together.codes, alone.codes, rtol=1e-5)
    assert codec.outline_latent(image).codes.shape == alone.codes.shape
    expected = np.repeat(codec.decode(alone).pixels, 3, axis=0)
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_a_latent_of_before_that_holds_grey_three_times_comes_back():
    grey, codec = scan(), make(2)
    latent = codec.encode(grey)
    before = dataclasses.replace(latent, codes=np.repeat(latent.codes, 3, axis=0))

    expected = np.repeat(codec.decode(latent).pixels, 3, axis=0)
    np.testing.assert_array_equal(codec.decode(before).pixels, expected)


def test_encoding_twice_gives_the_same_codes_and_a_seed_others():
    image, codec = scan(), make(3)

    mean, again = codec.encode(image), codec.encode(image)
    drawn, same = codec.encode(image, seed=7), codec.encode(image, seed=7)

    np.testing.assert_array_equal(mean.codes, again.codes)
    np.testing.assert_array_equal(drawn.codes, same.codes)
    spread = np.std(drawn.codes - mean.codes)
    assert 0.5 * np.exp(-2) < spread < 2 * np.exp(-2)


def test_a_projected_latent_is_made_and_cannot_be_decoded():
    codec = make(3)
    projected = codec.encode(scan(), kind="projected")

    np.testing.assert_allclose(projected.codes, codec.encode(scan()).codes + 1, rtol=1e-6)
    with pytest.raises(LatentError, match="made for classifiers"):
        codec.decode(projected)


def test_what_a_network_cannot_make_is_refused_whatever_its_card_says():
    codec, image = make(3), scan()
    bare = make(3, network=Bare())

    with pytest.raises(LatentError, match="has no bitstream latent; it offers raw and projected"):
        codec.encode(image, kind="bitstream")
    with pytest.raises(LatentError, match="no posterior to sample from: leave out the seed"):
        bare.encode(image, seed=1)
    with pytest.raises(LatentError, match="cells-4x1-3d has no projected latent"):
        bare.encode(image, kind="projected")


def test_codes_of_another_number_or_size_are_refused():
    codec = make(3, card=dataclasses.replace(make(3).card, channels=2), network=Bare(2))
    latent = codec.encode(scan())
    one = dataclasses.replace(latent, codes=latent.codes[:1])

    with pytest.raises(LatentError, match=r"makes 2 code channels at factor \(4, 4, 4\), but .* 1"):
        codec.decode(one)


def test_windows_and_the_whole_agree_for_a_local_network():
    whole = make(3)
    windowed = make(3, card=dataclasses.replace(whole.card, native_window=8))
    image = scan((30, 21, 18))

    np.testing.assert_allclose(
        windowed.encode(image).codes, whole.encode(image).codes, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(
        windowed.decode(windowed.encode(image)).pixels, whole.decode(whole.encode(image)).pixels
    )


def test_another_codecs_latent_and_other_weights_are_refused_by_name():
    latent = make(3).encode(scan())

    with pytest.raises(LatentError, match="made by cells-4x1-3d, not by cells-4x1-2d"):
        make(2).decode(latent)
    with pytest.raises(LatentError, match="with other weights"):
        make(3, fingerprint="sha256:1").decode(latent)


def test_a_volume_codec_refuses_a_single_slice():
    with pytest.raises(UnusablePixels, match="use a 2d codec"):
        make(3).encode(scan((16, 16, 1)))


def test_non_finite_voxels_are_refused_or_brought_back():
    pixels = np.linspace(0, 1, 16 * 16).reshape(1, 16, 16, 1).astype(np.float32)
    pixels[0, 3, 4, 0], pixels[0, 5, 5, 0] = np.nan, -np.inf
    image = Image(pixels, Grid.from_spacing((16, 16, 1)))

    with pytest.raises(UnusablePixels, match="fill-nonfinite"):
        make(2).encode(image)
    codec = make(2, preparing=Preparing(fill_nonfinite=True))
    decoded = codec.decode(codec.encode(image))
    np.testing.assert_array_equal(np.isnan(decoded.pixels), np.isnan(pixels))
    np.testing.assert_array_equal(np.isneginf(decoded.pixels), np.isneginf(pixels))


def test_padding_beyond_the_window_is_kept_exactly_when_asked():
    pixels = np.full((1, 16, 16, 1), 40, np.int16)
    pixels[0, :3], pixels[0, 9, 9] = -3024, 9000
    image = Image(pixels, Grid.from_spacing((16, 16, 1)), Unit.HU)
    codec = load("bicubic-4x-2d", keep_outside=True)

    latent = codec.encode(image)
    decoded = codec.decode(latent)

    outside = (pixels < -1024) | (pixels > 3071)
    np.testing.assert_array_equal(decoded.pixels[outside], pixels[outside])
    assert latent.trail.losses == {}


def test_non_finite_voxels_of_a_ct_have_no_say_in_its_range():
    pixels = np.full((1, 16, 16, 1), 40.0, np.float32)
    pixels[0, 2, 2], pixels[0, 5, 5] = np.nan, np.inf
    image = Image(pixels, Grid.from_spacing((16, 16, 1)), Unit.HU)
    codec = load("area-4x-2d", fill_nonfinite=True)

    decoded = codec.decode(codec.encode(image)).pixels

    np.testing.assert_array_equal(np.isfinite(decoded), np.isfinite(pixels))
    assert abs(decoded[0, 12, 12, 0] - 40) < 1


def test_the_radiograph_pipeline_inverts_windows_and_comes_back():
    values = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint16)[None, :, :, None] * 16
    image = Image(values, Grid.from_spacing((64, 64, 1)), Unit.RELATIVE,
                  display=Display(center=1000, width=2016, inverted=True))  # fmt: skip
    codec = load("bilinear-4x-2d", pipeline="radiograph")

    latent = codec.encode(image)
    decoded = codec.decode(latent)

    assert latent.codes[0, 0, 0, 0] > latent.codes[0, -1, -1, 0]  # low values are white
    assert decoded.pixels.dtype == np.uint16
    assert np.abs(decoded.pixels[0, 8:56, 8:56].astype(int) - values[0, 8:56, 8:56]).max() < 40


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal", "acquired"])
def test_slicing_along_any_axis_comes_back_to_the_same_place(axis):
    image = scan((9, 14, 11))
    codec = make(2, preparing=Preparing(axis=axis))

    latent = codec.encode(image)

    sliced = {"sagittal": 9, "coronal": 14, "axial": 11, "acquired": 11}[axis]
    assert latent.codes.shape[3] == sliced
    assert codec.decode(latent).grid.agrees_with(image.grid)


def test_a_stitched_latent_has_the_size_of_a_volumetric_one():
    image = scan((16, 16, 10))
    stitched, plain = load("stitched:bilinear-4x-2d"), load("bilinear-4x-3d")

    latent = stitched.encode(image)

    assert latent.codes.shape == plain.encode(image).codes.shape == (1, 4, 4, 3)
    assert stitched.decode(latent).grid.agrees_with(image.grid)


def test_a_ramp_along_the_slices_survives_stitching_in_the_interior():
    """A shift by half a cell would show as 150 units here."""
    ramp = np.broadcast_to(np.arange(32) * 100.0, (1, 16, 16, 32)).astype(np.float32)
    image = Image(np.array(ramp), Grid.from_spacing((16, 16, 32)))
    codec = load("stitched:bilinear-4x-2d", axis="axial")

    decoded = codec.decode(codec.encode(image))

    inside = slice(6, 26)
    np.testing.assert_allclose(decoded.pixels[..., inside], ramp[..., inside], atol=2)


@pytest.mark.parametrize("seed", [-1, 2**63, True])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(SettingsError, match="seed"):
        make(3).encode(scan(), seed=seed)


def test_every_slice_and_every_channel_draws_its_own_chance():
    still = scan((16, 16, 1)).pixels + np.arange(3).reshape(3, 1, 1, 1)
    image = Image(still.repeat(4, axis=3), Grid((16, 16, 4), AFFINE))
    codec = make(2)

    noise = codec.encode(image, seed=3).codes - codec.encode(image).codes

    drawn = noise.transpose(0, 3, 1, 2).reshape(12, -1)
    assert len(np.unique(np.round(drawn, 5), axis=0)) == 12


def test_a_sampled_latent_is_the_same_in_windows_when_the_posterior_is_local():
    whole = make(3)
    windowed = make(3, card=dataclasses.replace(whole.card, native_window=8))
    image = scan((30, 21, 18))

    np.testing.assert_allclose(
        windowed.encode(image, seed=5).codes, whole.encode(image, seed=5).codes,
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_do_not_fill_a_networks_are_refused(channels):
    with pytest.raises(UnusablePixels, match=f"takes 3 channels, but the image has {channels}"):
        make(2, in_channels=3).encode(scan(channels=channels))


def test_the_codes_of_slices_do_not_depend_on_how_many_run_at_once(monkeypatch):
    image, codec = scan((20, 17, 9), channels=3), make(2)
    latent = codec.encode(image)
    decoded = codec.decode(latent)

    monkeypatch.setattr("plica.codecs.plan.BATCH_VOXELS", 5 * 20 * 20)  # parts a colour
    np.testing.assert_array_equal(codec.encode(image).codes, latent.codes)
    np.testing.assert_array_equal(codec.decode(latent).pixels, decoded.pixels)


def test_each_slice_and_each_channel_comes_back_at_its_own_place():
    marks = np.arange(3 * 5).reshape(3, 1, 1, 5) * 100.0
    image = Image(np.broadcast_to(marks, (3, 8, 4, 5)).astype(np.int16), Grid((8, 4, 5), AFFINE))
    codec = make(2)

    np.testing.assert_array_equal(codec.decode(codec.encode(image)).pixels, image.pixels)


class Greedy(Cells):
    """Asks for more memory than there is on any machine, as a network does on a large image."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(2**55)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_lack_of_memory_names_the_codec_the_device_and_the_size():
    codec = make(3, network=Greedy(3))

    with pytest.raises(TooLarge, match=r"on 'cpu' to run cells-4x1-3d on \(16, 12, 8\) voxels"):
        codec.encode(scan())
    with pytest.raises(TooLarge, match="not enough memory"):
        codec.decode(make(3).encode(scan()))


def test_a_networks_own_mistake_is_not_taken_for_lack_of_memory():
    class Mistaken(Cells):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.zeros(3, 3)

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        make(3, network=Mistaken(3)).encode(scan())


@pytest.mark.parametrize("dims", [2, 3])
def test_how_the_array_lies_in_memory_does_not_matter(dims):
    plain = scan((26, 20, 12)).pixels
    codec = make(dims)
    arrays = {
        "reversed": plain[:, ::-1, ::-2, ::-1],
        "fortran": np.asfortranarray(plain),
        "big-endian": plain.astype(">i2"),
        "repeated": np.broadcast_to(plain[..., :1], plain.shape),
    }
    for name, array in arrays.items():
        grid = Grid(array.shape[1:], AFFINE)
        lying, tidy = (Image(one, grid) for one in (array, np.array(array, np.int16, order="C")))
        latent = codec.encode(lying)
        np.testing.assert_array_equal(latent.codes, codec.encode(tidy).codes, err_msg=name)
        decoded = codec.decode(latent).pixels
        np.testing.assert_array_equal(decoded, codec.decode(latent).pixels, err_msg=name)
        assert decoded.dtype == np.int16, name


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u8", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 7, 1), (2, 1, 3), (1, 1, 1)])
def test_the_smallest_images_of_every_type_come_back(dtype, shape):
    pixels = np.random.default_rng(0).integers(0, 2, (1, *shape)).astype(dtype)
    image = Image(pixels, Grid(shape, AFFINE))
    codec = load("linear-4x3-2d" if shape[2] == 1 else "linear-4x1-3d")

    decoded = codec.decode(codec.encode(image))

    assert decoded.pixels.dtype == pixels.dtype
    assert decoded.grid.agrees_with(image.grid)


@pytest.mark.parametrize("unit", [unit for unit in Unit if unit is not Unit.LABEL])
def test_a_constant_image_comes_back_constant(unit):
    image = Image(np.full((1, 9, 9, 5), 7, np.int16), Grid((9, 9, 5), AFFINE), unit)

    for name in ("linear-4x1-3d", "linear-4x3-2d", "bicubic-8x-2d"):
        codec = load(name)
        np.testing.assert_array_equal(codec.decode(codec.encode(image)).pixels, image.pixels)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["raw", "projected"])
def test_several_images_give_what_each_gives_alone(dims, kind):
    codec = make(dims)
    shapes = [(13, 10, 6), (9, 10, 2), (13, 10, 3), (13, 11, 6)]
    images = [scan(shape) for shape in shapes]

    together = codec.encode_together(images, kind=kind)

    for image, latent in zip(images, together, strict=True):
        alone = codec.encode(image, kind=kind)
        assert np.allclose(latent.codes, alone.codes, atol=1e-6)
        assert latent.codes.flags.c_contiguous
        assert latent.trail == alone.trail
        assert (latent.prepared, latent.source) == (alone.prepared, alone.source)
        assert latent.provenance == alone.provenance


def test_slices_of_several_images_are_led_through_the_network_together():
    codec = make(2)
    seen = []
    encode = codec.network.encode
    codec.network.encode = lambda x: seen.append(len(x)) or encode(x)
    codec.encode_together([scan((16, 12, 1)) for _ in range(5)])
    assert seen == [5]
    with pytest.raises(LatentError, match="no bitstream latent"):
        codec.encode_together([scan()], kind="bitstream")
    assert codec.encode_together([]) == []


def test_a_device_is_given_larger_batches():
    from plica.codecs.plan import Planner
    from plica.codecs.running import Running

    def plan(device: str):
        network = load("compact-4x3-2d", device="cpu").network
        running = Running(memory=2**33, device_memory=2**36)
        planner = Planner("compact", network, 4, True, 0, running, device)
        return planner.make("encode", (64, 1, 512, 512), 0)

    assert plan("cpu").batch == 1
    assert plan("cuda").batch == 64


def test_what_comes_next_is_prepared_meanwhile():
    import threading

    from plica.codecs.batches import read_ahead

    prepared = [threading.Event() for _ in range(4)]

    def prepare():
        for number, event in enumerate(prepared):
            event.set()
            yield number

    seen = []
    for number in read_ahead(prepare()):
        seen.append(number)
        assert number == 3 or prepared[number + 1].wait(60)
    assert seen == [0, 1, 2, 3]


def test_a_batch_may_be_larger_than_a_slab():
    from plica.codecs.batches import SLAB_BYTES, Batches

    side = int((SLAB_BYTES // 4 // 4) ** 0.5) + 1  # three fit
    pixels = np.broadcast_to(np.float32(1), (1, side, side, 7))
    out = np.empty((1, 1, 1, 7), np.float32)
    sizes = [len(x) for x, _ in Batches(pixels, 1, 5).walk(out)]
    assert sizes == [5, 2]
