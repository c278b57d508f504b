"""The contract of codecs, as a class of pytest: name a codec, and it is held to it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import plica
from plica.codecs.catalogue import DRAWN
from plica.codecs.codec import Codec
from plica.codecs.difference import Difference
from plica.codecs.networkcodec import NetworkCodec
from plica.codecs.trial import with_running
from plica.errors import LatentError, MissingExtra, PlicaError
from plica.image import Image
from plica.latent import LatentKind
from plica.networks.contract import RAISED
from plica.testing.images import KINDS, make_image
from plica.training.recipes import SUFFIX

MOST_MEAN_ERROR = 0.1
"""Of a smooth image's range."""
TRAINED = "train it further, or look at how it scales values"
"""What may be done about errors that are no shift and no flip."""
MOST_CONTRAST_ERROR = 0.4
"""Of its own: the coarsest codecs lose a third of a hill in a volume of few slices."""
OTHER = "area-8x-3d"
TOLERANCE_MM = 1e-3
EXACT_RMS = 1e-5
"""Of the result's deviation: what rounding of float32 may do."""
_FAILED: set[str] = set()  # codecs that could not be loaded


class CodecContract:
    """What holds of every codec of plica, whoever wrote it.

    Contract: encoding is deterministic; what is decoded stands on the image's own grid within
    0.001 mm, in its unit, type and shape, whether or not the latent went through a file; the
    codes are as many and as coarse as the card says; a latent of another codec and a kind of
    latent the card does not offer are refused; nothing of a patient goes into the file. Where a
    network declares how far it sees (`plica.networks.autoencoder.Local`), tiles give what the
    whole gives.

    Inherit it and say the codec's name, as `plica.load` takes it; or override `codec`.

    Examples:
        class TestMine(CodecContract):
            name = "mine-8x4-2d"
    """

    name: str = ""

    @pytest.fixture
    def codec(self) -> Codec:
        """The codec under test; what its extra lacks is a reason to skip."""
        return load_once(self.name)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_way_back_ends_where_it_began(
        self, codec: Codec, kind: str, tmp_path: Path
    ) -> None:
        """Grid, unit, type and shape are the image's, also through a file."""
        image = make_own(codec, kind)
        latent = codec.encode(image)
        plica.write(latent, tmp_path / "a.latent")

        for one in (latent, plica.read_latent(tmp_path / "a.latent")):
            check_came_back(codec.decode(one), image)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_smooth_image_is_kept(self, codec: Codec, kind: str) -> None:
        """The mean error is within a tenth of the image's range, its place and contrast its own."""
        if codec.card.name.endswith(DRAWN):
            pytest.skip("weights that were drawn keep nothing of an image: train it first")
        image = make_own(codec, kind)
        decoded = codec.decode(codec.encode(image))

        made, meant = decoded.pixels.astype(float), image.pixels.astype(float)
        check_flips(made, meant)
        contrast = np.polyfit(meant.ravel(), made.ravel(), 1)[0]
        if not abs(contrast - 1) <= MOST_CONTRAST_ERROR:  # NaN is not
            pytest.fail(
                f"the contrast of a smooth image is {contrast:.2f} times what it was: {TRAINED}",
                pytrace=False,
            )
        check_shifts(made, meant, 2 * codec.card.factor)
        check_error(made, meant)

    @pytest.mark.parametrize("kind", KINDS)
    def test_encoding_twice_gives_the_same_codes(self, codec: Codec, kind: str) -> None:
        """To the last bit."""
        image = make_own(codec, kind)

        np.testing.assert_array_equal(codec.encode(image).codes, codec.encode(image).codes)

    @pytest.mark.parametrize("kind", KINDS)
    def test_volumes_come_back_slice_by_slice_too(self, codec: Codec, kind: str) -> None:
        """A 2d codec takes a volume."""
        image = make_image(kind, 3)

        check_came_back(codec.decode(codec.encode(image)), image)

    @pytest.mark.parametrize("kind", KINDS)
    def test_codes_are_as_the_card_says(self, codec: Codec, kind: str) -> None:
        """Their kind, number and factor; a storage codec's bytes are no codes."""
        image = make_image(kind, 3)
        latent = codec.encode(image)

        assert latent.kind == codec.card.latents[0]
        if latent.kind != "bitstream":
            groups = image.channels // codec.card.in_channels or 1
            assert latent.codes.shape[0] == groups * codec.card.channels
            assert latent.factor == codec.card.factors

    def test_a_latent_of_another_codec_is_refused(self, codec: Codec) -> None:
        """By the fingerprint of what made it."""
        if codec.card.name == OTHER:
            pytest.skip("the other codec of this test is this one")
        latent = plica.load(OTHER).encode(make_image("ct", 3))

        with pytest.raises(LatentError, match=f"made by {OTHER}"):
            codec.decode(latent)

    def test_an_unknown_latent_kind_is_refused(self, codec: Codec) -> None:
        """What the card does not offer is an error that names it."""
        kinds: tuple[LatentKind, ...] = ("raw", "projected", "bitstream")
        for kind in kinds:
            if kind not in codec.card.latents:
                with pytest.raises(PlicaError, match=kind):
                    codec.encode(make_image("ct", 3), kind=kind)

    def test_tiles_are_exact_where_the_card_says_so(self, codec: Codec) -> None:
        """A seam would show: tiles with the halo that the network declares change nothing."""
        if not isinstance(codec, NetworkCodec) or not codec.tiles:
            pytest.skip(
                f"{codec.card.name} is not said to be tileable, or its network declares no "
                "encoder_reach and decoder_reach: it is not cut into tiles"
            )
        tile = max(8, 2 * codec.card.factor)
        image = make_image("mr", 3 if codec.card.dims == 3 else 2, beyond=tile)
        whole = with_running(codec, tiling="whole", tile=0)
        tiles = with_running(codec, tile=tile)
        latent = whole.encode(image)

        for one, other, reach in (
            (latent.codes, tiles.encode(image).codes, "encoder_reach"),
            (whole.decode_prepared(latent), tiles.decode_prepared(latent), "decoder_reach"),
        ):
            rms = Difference.between(one, other).rms
            if not rms <= EXACT_RMS:  # NaN is not
                pytest.fail(
                    f"tiles differ from the whole by rms {rms:.2g} of σ: {reach} "
                    f"{getattr(codec.network, reach)} is too small, or a layer looks at the whole "
                    "map",
                    pytrace=False,
                )

    def test_no_identity_travels_into_a_latent(self, codec: Codec, tmp_path: Path) -> None:
        """Whatever the image in memory knows of its patient."""
        image = make_image("ct", 3)
        told = replace(image.provenance, identity={"PatientName": "SECRET^NAME"})
        plica.write(codec.encode(replace(image, provenance=told)), tmp_path / "a.latent")

        assert b"SECRET" not in (tmp_path / "a.latent").read_bytes()


@cache
def load_once(name: str) -> Codec:
    """A codec for all its tests; they are skipped where its extra is not installed.

    A recipe's file gives its network with weights as they are before training. A codec that cannot
    be loaded fails the first of them, and the others are skipped.

    Examples:
        >>> load_once("bicubic-4x-2d").card.factor
        4
    """
    if name in _FAILED:
        pytest.skip(f"{name} cannot be loaded; the first test says why")
    try:
        return _make_untrained(name) if name.endswith(SUFFIX) else plica.load(name)
    except MissingExtra as error:
        pytest.skip(str(error))
    except (*RAISED, PlicaError, OSError, ImportError) as error:  # it may be another's code
        _FAILED.add(name)
        ours = isinstance(error, PlicaError)
        pytest.fail(
            f"{name} cannot be loaded: {'' if ours else f'{type(error).__name__}: '}{error}",
            pytrace=not ours,
        )


def _make_untrained(recipe: str) -> Codec:
    from plica.training.export import make_untrained
    from plica.training.recipes import read_recipe

    return make_untrained(read_recipe(recipe))


def make_own(codec: Codec, kind: str) -> Image:
    """An image with as many axes as the codec makes coarser.

    Examples:
        >>> make_own(plica.load("bicubic-4x-3d"), "mr").is_volume
        True
    """
    return make_image(kind, 3 if codec.card.dims == 3 else 2)


def check_flips(made: NDArray[Any], meant: NDArray[Any]) -> None:
    """Fail where pixels are nearer to a flipped copy of what they are meant to be.

    Examples:
        >>> ramp = np.arange(64.0).reshape(1, 8, 8, 1)
        >>> check_flips(ramp + 0.1, ramp)
    """
    own = measure_apart(made, meant)
    for axis, name in enumerate("ijk", start=1):
        if meant.shape[axis] > 1 and measure_apart(made, np.flip(meant, axis)) <= own:
            pytest.fail(
                f"decoded pixels are nearer to the image flipped along {name}", pytrace=False
            )


def check_shifts(made: NDArray[Any], meant: NDArray[Any], step: int) -> None:
    """Fail where pixels are nearer to a shifted copy of what they are meant to be.

    They must be nearer, and more like it in form: on an image that rises steadily, what is too
    bright or too flat is nearer to a shifted one, and has its form no less.

    Args:
        step: By how many voxels. Axes too short to be compared without it are left out.

    Examples:
        >>> hill = np.minimum(np.arange(64.0).reshape(1, 8, 8, 1), 40)
        >>> check_shifts(hill + 5, hill, 2)
    """
    gains = {}
    for axis, name in enumerate("ijk", start=1):
        if meant.shape[axis] < 4 * step:
            continue
        kept = (*[slice(None)] * axis, slice(step, -step))
        for by in (-step, step):
            moved = np.roll(meant, by, axis)[kept]
            alike = _measure_form(made[kept], moved) - _measure_form(made[kept], meant[kept])
            if alike > 0:
                apart = measure_apart(made[kept], meant[kept]) - measure_apart(made[kept], moved)
                gains[f"{by} along {name}"] = apart
    nearest = max(gains, key=lambda shift: gains[shift], default="")
    if nearest and gains[nearest] > 0:
        pytest.fail(f"decoded pixels are nearer to the image shifted {nearest}", pytrace=False)


def _measure_form(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The mean correlation of channels: the same whatever their brightness and contrast."""
    pairs = zip(one, other, strict=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # a channel without contrast has none
        return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def check_error(made: NDArray[Any], meant: NDArray[Any]) -> None:
    """Fail where the mean error is a tenth of the range or more, and say what of it is brightness.

    Examples:
        >>> ramp = np.arange(64.0).reshape(1, 8, 8, 1)
        >>> check_error(ramp + 0.1, ramp)
    """
    span = float(np.ptp(meant))
    error, offset = measure_apart(made, meant) / span, float((made - meant).mean()) / span
    if not error < MOST_MEAN_ERROR:  # NaN is not
        pytest.fail(
            f"a smooth image comes back with a mean error of {error:.1%} of its range "
            f"({offset:+.1%} of it in brightness), where less than {MOST_MEAN_ERROR:.0%} is asked: "
            f"{TRAINED}",
            pytrace=False,
        )


def measure_apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The mean absolute difference.

    Examples:
        >>> measure_apart(np.zeros(3), np.ones(3))
        1.0
    """
    return float(np.abs(one - other).mean())


def check_came_back(decoded: Image, image: Image) -> None:
    """Fail where the decoded image is not on the image's grid, or of another unit, type or shape.

    Examples:
        >>> check_came_back(codec.decode(codec.encode(image)), image)
    """
    if not decoded.grid.agrees_with(image.grid, TOLERANCE_MM):
        pytest.fail(f"decoded onto {decoded.grid}, but the image is on {image.grid}")
    told = [
        (one.grid.calibrated, one.unit, one.pixels.dtype, one.pixels.shape)
        for one in (decoded, image)
    ]
    if told[0] != told[1]:
        pytest.fail(f"decoded as {told[0]}, but the image is {told[1]}")
