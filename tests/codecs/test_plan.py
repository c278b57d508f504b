"""Plans: made before any work, within the memory, or refused with the least that can."""

import dataclasses

import numpy as np
import pytest
from tests.codecs.test_running import Cells, codec_of, scan

import plica
from plica.boxes import count_held
from plica.codecs import plan as plan_module
from plica.codecs.card import CodecCard
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.plan import Planner
from plica.codecs.running import Running
from plica.codecs.trial import with_running
from plica.errors import SettingsError, TooLarge
from plica.grid import Grid
from plica.image import Image, Unit
from plica.networks.kl import KlAutoencoder
from plica.networks.tiny import TinyAutoencoder
from plica.preparation.minmax import MinMax

MIB = 2**20


@pytest.fixture(scope="module")
def compact() -> NetworkCodec:
    return plica.load("compact-4x1-3d")


def kl_codec(dims: int = 2, **running: object) -> NetworkCodec:
    network = KlAutoencoder(dims=dims, in_channels=1, code_channels=2, widths=(32, 32, 64))
    card = CodecCard(
        name="kl", family="kl", summary="", dims=dims, factor=4, channels=2, in_channels=1,
        expects="", licence="", source="", native_window=32 if dims == 3 else 0,
        posterior="gaussian",
    )  # fmt: skip
    return NetworkCodec(
        card, network, "sha256:0", lambda image: (MinMax(),), running=Running(**running)
    )


@pytest.fixture
def crowded(monkeypatch):
    """Small networks count as if, run whole, they took a thousand times their maps."""
    monkeypatch.setattr(plan_module, "_ENCODER_MAPS", 5e3)
    monkeypatch.setattr(plan_module, "_DECODER_MAPS", 5e3)


def huge(shape: tuple[int, int, int]) -> Image:
    """An image that takes no memory and is never looked at whole."""
    pixels = np.broadcast_to(np.int16(7), (1, *shape))
    return Image(pixels, Grid.from_spacing(shape), Unit.HU)


@pytest.fixture
def planner(compact) -> Planner:
    return compact.planner


@pytest.mark.parametrize("memory", [460, 512, 700, 1024, 4096])
@pytest.mark.parametrize("part", ["encode", "decode"])
def test_a_plan_keeps_within_the_memory(planner, memory, part):
    asked = dataclasses.replace(planner, running=Running(memory=memory * MIB))
    sides = (512, 512, 1000) if part == "encode" else (128, 128, 250)

    plan = asked.make(part, (1, 1, *sides), held=16 * MIB)

    assert plan.peak_bytes <= memory * MIB
    assert plan.manner == "tiles"
    assert plan.pieces > 1
    assert "foretold peak" in plan.describe()


def test_more_memory_means_fewer_pieces(planner):
    pieces = [
        dataclasses.replace(planner, running=Running(memory=memory * MIB))
        .make("encode", (1, 1, 512, 512, 400), held=0).pieces
        for memory in (480, 600, 900, 1500)
    ]  # fmt: skip
    assert pieces == sorted(pieces, reverse=True)
    assert len(set(pieces)) == 4


@pytest.mark.parametrize("name", ["compact-4x1-3d", "linear-4x1-3d", "compact-4x3-2d"])
@pytest.mark.parametrize("part", ["encode", "decode"])
def test_a_refusal_names_the_least_that_can_and_that_much_can(name, part):
    codec = plica.load(name, memory="64M")
    image = scan((60, 50, 40))
    latent = codec.outline_latent(image)

    def plan(codec):
        return codec.plan_encoding(image) if part == "encode" else codec.plan_decoding(latent)

    with pytest.raises(TooLarge, match=r"needs at least .* GiB, and 0.06 GiB are allowed") as error:
        plan(codec)

    assert error.value.least > 64 * MIB
    assert plan(with_running(codec, memory=error.value.least)).peak_bytes <= error.value.least
    with pytest.raises(TooLarge):
        plan(with_running(codec, memory=error.value.least - 2 * MIB))


def test_a_refusal_comes_before_the_network_is_run(monkeypatch):
    codec = plica.load("compact-4x1-3d", memory="64M")
    monkeypatch.setattr(codec.network, "encode", lambda x: pytest.fail("it was run"))
    with pytest.raises(TooLarge, match=r"encoding 60 × 52 × 40 .* give memory=\d+M"):
        codec.encode(scan((60, 50, 40)))


def test_the_image_itself_counts_but_not_what_is_mapped_or_repeated(tmp_path):
    codec = plica.load("linear-4x1-3d")
    shape = (128, 128, 64)
    whole = Image(np.zeros((1, *shape), np.int16), Grid.from_spacing(shape), Unit.HU)
    np.save(tmp_path / "a.npy", whole.pixels)
    mapped = whole.with_pixels(np.load(tmp_path / "a.npy", mmap_mode="r"))

    held = [codec.plan_encoding(one).held_bytes for one in (whole, mapped, huge(shape))]

    assert held[0] - held[1] == whole.pixels.nbytes
    assert held[2] - held[1] == 2
    assert count_held(whole.pixels) == whole.pixels.nbytes


def test_what_is_prepared_at_once_counts_too():
    image = scan((64, 64, 32))
    own, resampled = (
        plica.load("linear-4x1-3d", **options).plan_encoding(image).held_bytes
        for options in ({}, {"spacing_mm": (0.5, 0.5, 0.5)})
    )
    assert resampled - own >= 4 * 8 * image.pixels.size


def test_what_comes_back_at_once_counts_even_where_it_then_goes_into_a_file():
    image = scan((64, 64, 32))
    own, resampled = (
        codec.plan_decoding(codec.outline_latent(image), mapped=True).held_bytes
        for codec in (plica.load("linear-4x1-3d"),
                      plica.load("linear-4x1-3d", spacing_mm=(0.5, 0.5, 0.5)))
    )  # fmt: skip
    assert resampled - own >= 4 * 4 * 8 * image.pixels.size


def test_a_2d_network_is_run_whole_where_it_fits_and_layer_by_layer_where_not(crowded):
    image = scan((93, 61, 2))
    roomy, tight = kl_codec(memory=64 << 30), kl_codec(memory=600 * MIB)
    tight.network.load_state_dict(roomy.network.state_dict())

    assert roomy.plan_encoding(image).manner == "whole"
    plan = tight.plan_encoding(image)
    assert plan.manner == "exact"
    assert plan.maps == "memory"
    codes = roomy.encode(image).codes
    assert np.abs(tight.encode(image).codes - codes).max() <= 1e-4 * codes.std()


def test_asked_to_be_whole_it_is_refused_where_it_does_not_fit():
    with pytest.raises(TooLarge, match="or leave out tiling=whole"):
        kl_codec(memory=400 * MIB, tiling="whole").plan_encoding(scan((253, 187, 3)))


def test_a_tile_that_was_asked_for_may_be_too_large():
    codec = plica.load("compact-4x1-3d", memory="64M", tile=32)
    with pytest.raises(TooLarge, match="or a smaller tile, or crop or resample the image"):
        codec.plan_encoding(scan((60, 50, 40)))


@pytest.mark.parametrize("part", ["encode", "decode"])
def test_a_network_of_several_passes_is_refused_with_the_least_that_can(part):
    network = TinyAutoencoder(code_channels=4)
    planner = Planner("tiny", network, 8, True, 0, Running(memory=MIB))
    shape = (2, 3, 256, 192) if part == "encode" else (2, 4, 32, 24)

    with pytest.raises(TooLarge, match=r"needs at least .* allowed: give memory=") as error:
        planner.make(part, shape, held=0)

    enough = dataclasses.replace(planner, running=Running(memory=error.value.least))
    assert enough.make(part, shape, held=0).peak_bytes <= error.value.least


def test_windows_stand_on_the_card_and_each_fits_or_is_exact(crowded):
    image = scan((72, 66, 45))
    roomy = kl_codec(3, memory=64 << 30).plan_encoding(image)
    assert (roomy.manner, roomy.schedule) == ("windows", None)
    assert roomy.sides == (20, 20, 24)  # 72, 68 and 48, halved until below 32

    tight = kl_codec(3, memory=600 * MIB).plan_encoding(image)
    assert tight.manner == "windows"
    assert tight.schedule is not None
    assert tight.sides == roomy.sides

    exact = kl_codec(3, memory=4 << 30, tiling="exact").plan_encoding(image)
    assert (exact.manner, exact.sides) == ("exact", (72, 68, 48))


def test_windows_give_the_same_whether_each_is_whole_or_exact(crowded):
    image = scan((37, 25, 22))
    roomy, tight = kl_codec(3, memory=64 << 30), kl_codec(3, memory=600 * MIB)
    tight.network.load_state_dict(roomy.network.state_dict())
    latent = roomy.encode(image)

    assert tight.plan_encoding(image).schedule is not None
    assert np.abs(tight.encode(image).codes - latent.codes).max() <= 1e-4 * latent.codes.std()
    decoded = roomy.decode_prepared(latent)
    assert np.abs(tight.decode_prepared(latent) - decoded).max() <= 1e-4 * decoded.std()


def test_blending_is_done_only_when_asked_for_and_said():
    image = scan((125, 93, 1))
    blended, whole = kl_codec(tiling="blend", tile=32), kl_codec()
    blended.network.load_state_dict(whole.network.state_dict())

    assert whole.plan_encoding(image).manner == "whole"
    plan = blended.plan_encoding(image)
    assert plan.manner == "windows"
    assert max(plan.sides) <= 32

    latent = blended.encode(image)
    assert "blended windows" in latent.provenance.steps[-1]
    assert not np.allclose(latent.codes, whole.encode(image).codes, atol=1e-3)


def test_blended_windows_are_as_large_as_the_memory_allows():
    image = scan((253, 187, 1))
    sides = [
        max(kl_codec(tiling="blend", memory=memory * MIB).plan_encoding(image).sides)
        for memory in (390, 400, 4000)
    ]
    assert sides == sorted(sides)
    assert sides[-1] == 256
    assert sides[0] < 128


def test_blended_windows_are_no_smaller_than_a_code_nor_larger_than_the_cards(crowded):
    image = scan((72, 66, 45))
    plans = [
        kl_codec(3, tiling=tiling, memory=64 << 30).plan_encoding(image)
        for tiling in ("blend", "window")
    ]
    assert plans[0].sides == plans[1].sides

    poor = kl_codec(tiling="blend", memory=MIB)
    with pytest.raises(TooLarge, match="encoding 4 × 4 with kl needs"):
        poor.plan_encoding(scan((253, 187, 1)))


@pytest.mark.parametrize("tiling", ["window", "blend"])
def test_windows_are_no_choice_where_tiles_are_exact(tiling):
    with pytest.raises(SettingsError, match="windows would only add an error"):
        plica.load("compact-4x1-3d", tiling=tiling)


def test_what_a_network_cannot_be_is_refused_before_any_work():
    with pytest.raises(SettingsError, match="no published windows"):
        kl_codec(tiling="window").planner.check()
    with pytest.raises(SettingsError, match="no exact tiles"):
        kl_codec(tile=64).planner.check()
    with pytest.raises(SettingsError, match="tiling is one of auto, exact"):
        plica.load("compact-4x1-3d", tiling="tiles")


def test_a_network_that_is_not_known_is_run_whole_and_has_no_schedule():
    card = CodecCard(
        name="cells", family="cells", summary="", dims=3, factor=4, channels=1, in_channels=1,
        expects="", licence="", source="",
    )  # fmt: skip
    codec = NetworkCodec(card, Cells(), "sha256:0", lambda image: (MinMax(),))

    assert codec.plan_encoding(scan()).manner == "whole"
    with pytest.raises(SettingsError, match="no exact schedule"):
        with_running(codec, tiling="exact").planner.check()


def test_a_device_has_memory_of_its_own():
    planner = dataclasses.replace(
        codec_of("finer decoder, 3D").planner,
        device="meta", running=Running(memory=500 * MIB, device_memory=64 * MIB),
    )  # fmt: skip
    plan = planner.make("encode", (1, 1, 256, 256, 256), held=0)
    assert plan.piece_bytes <= 64 * MIB
    assert plan.peak_bytes < 500 * MIB

    shared = dataclasses.replace(planner, running=Running(memory=500 * MIB))
    assert 64 * MIB < shared.make("encode", (1, 1, 256, 256, 256), held=0).piece_bytes <= 250 * MIB

    poor = dataclasses.replace(planner, running=Running(device_memory=1024))
    with pytest.raises(TooLarge, match="give device_memory="):
        poor.make("encode", (1, 1, 256, 256, 256), held=0)


def test_a_sample_is_the_same_in_any_memory(crowded):
    image = scan((61, 43, 3))
    roomy, tight = kl_codec(memory=64 << 30), kl_codec(memory=600 * MIB)
    tight.network.load_state_dict(roomy.network.state_dict())

    first, second = (codec.encode(image, seed=3).codes for codec in (roomy, tight))

    assert np.abs(first - second).max() <= 1e-4 * first.std()
