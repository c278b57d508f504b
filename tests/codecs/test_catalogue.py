"""The table of codecs: listed without loading networks, loaded by name, answered when misspelt."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tests.codecs import sharing

import plica
from plica.codecs.card import CodecCard
from plica.codecs.catalogue import CODECS, cards, default_name, find_offer, load
from plica.codecs.codec import Offer
from plica.errors import LatentError, SettingsError, UnknownName
from plica.grid import Grid
from plica.image import Image

ISSUED = [
    *(f"{family}-{size}" for family in ("linear", "compact", "medvae")
      for size in ("4x1-2d", "4x3-2d", "8x1-2d", "8x4-2d", "4x1-3d", "8x1-3d")),
    "taesd", "taesdxl", "taesd3", "taef1", "taef2", "taesana",
    "wan2.1", "wan2.2", "cogvideox", "ltx", "hunyuanvideo", "cosmos", "dc-ae-f32c32",
    "dc-ae-f64c128", "sdxl", "sd3", "flux", "flux2", "maisi",
    "leanvae", "wf-vae", "cv-vae", "iv-vae", "videovae-plus",
    "linear-4x4-3d", "compact-4x4-3d",
    "kl-f4", "kl-f8", "vq-f4", "vq-f8", "jpeg2000", "jpegxl", "identity",
    *(f"{kernel}-{size}" for kernel in ("nearest", "bilinear", "bicubic", "area", "lanczos")
      for size in ("4x-2d", "8x-2d", "16x-2d", "4x-3d", "8x-3d")),
]  # fmt: skip


def test_every_codec_of_the_plan_is_in_the_table_and_no_name_twice():
    assert sorted(CODECS) == sorted(ISSUED)


def test_a_cards_name_is_its_name_in_the_table_and_its_record_reads_back():
    for name, card in zip(CODECS, cards(), strict=True):
        assert card.name == name
        assert type(card).from_json(card.to_json()) == card


def test_the_room_answers_with_the_cards_and_is_still_a_room():
    assert plica.codecs() == cards()
    import plica.codecs.card as module

    assert module.CodecCard is type(plica.codecs()[0])


def test_listing_codecs_loads_no_torch():
    code = "import sys, plica; plica.codecs(); print({'torch', 'diffusers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean bicubic-4x-2d"):
        load("bicubic-4x2d")


def test_an_option_a_codec_does_not_have_is_refused_by_name():
    with pytest.raises(UnknownName, match="sharpness"):
        load("bicubic-4x-2d", sharpness=3)
    with pytest.raises(UnknownName, match="axis"):
        load("identity", axis="axial")


@pytest.fixture
def theirs(monkeypatch):
    """A codec with a setting of its own, as of another package."""
    monkeypatch.setitem(CODECS._table, sharing.NAME, sharing.TARGET)
    return sharing.NAME


@pytest.mark.parametrize(("share", "kind"), [("half", "ValueError"), ((1, 2), "TypeError")])
def test_a_setting_that_a_package_cannot_take_is_a_sentence(theirs, share, kind):
    with pytest.raises(SettingsError, match=f"{theirs} .* share=.*{kind}: ") as caught:
        load(theirs, share=share)
    assert type(caught.value.__cause__).__name__ == kind


def test_a_fault_of_a_build_that_was_given_no_settings_stays_one(theirs, monkeypatch):
    def fail(network):
        raise ValueError("theirs")

    monkeypatch.setattr(sharing, "Sharing", fail)
    with pytest.raises(ValueError, match="theirs"):
        load(theirs)


def test_only_slicing_codecs_can_be_stitched():
    assert load("stitched:bicubic-4x-2d").card.total_factor == 64
    with pytest.raises(UnknownName, match="choose a 2d codec"):
        load("stitched:bicubic-4x-3d")
    with pytest.raises(UnknownName, match="identity does not: choose a 2d codec"):
        load("stitched:identity")


@pytest.mark.parametrize(
    ("shape", "spacing", "name"),
    [
        ((8, 8, 1), (1, 1, 1), "compact-4x3-2d"),
        ((8, 8, 2), (1, 1, 1), "compact-4x1-3d"),
        ((8, 8, 2), (0.5, 0.5, 1.25), "compact-4x1-3d"),
        ((8, 8, 2), (0.5, 0.5, 1.5), "compact-4x3-2d"),  # three times as far apart as pixels
        ((8, 2, 8), (0.5, 4.0, 0.6), "compact-4x3-2d"),  # whichever way the slices lie
        ((8, 8, 2), (0.5, 2.0, 2.0), "compact-4x1-3d"),  # long pixels are no thick slices
    ],
)
def test_the_default_codec_follows_the_images_dimensions_and_slices(shape, spacing, name):
    grid = Grid.from_spacing(shape, spacing)
    image = Image(np.zeros((1, *shape), np.int16), grid)
    assert default_name(image) == name
    # where lengths are made up, they tell nothing of slices
    unknown = replace(image, grid=replace(grid, calibrated=False))
    assert default_name(unknown) == ("compact-4x1-3d" if shape[2] > 1 else "compact-4x3-2d")


OURS = Path(plica.__file__).parents[1]
THEIR_MODULE = """
import dataclasses
from plica.codecs.codec import Offer
from plica.codecs.identity import CARD, IdentityCodec
from plica.codecs.interpolation import OFFERS

PLAIN = Offer(
    dataclasses.replace(CARD, name="plain"),
    lambda request: IdentityCodec(dataclasses.replace(CARD, name="plain")),
)  # which takes no torch
_SHIPPED = OFFERS["area-4x-2d"]
_CARD = dataclasses.replace(_SHIPPED.card, name="theirs-4x1-2d", family="theirs")
OFFER = Offer(_CARD, lambda request: dataclasses.replace(_SHIPPED.build(request), card=_CARD))
"""


def install(site, *entries: str) -> None:
    """A package as pip leaves it: a module, and metadata that says what it offers."""
    (site / "theirs.py").write_text(THEIR_MODULE)
    metadata = site / "theirs-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join(["[plica.codecs]", *entries]) + "\n")


def run_with(site, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{OURS}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_an_installed_package_enrols_its_codec_by_an_entry_point(tmp_path):
    install(tmp_path, "theirs-4x1-2d = theirs:OFFER")
    code = (
        "import plica, numpy as np\n"
        "grid = plica.Grid.from_spacing((9, 9, 1))\n"
        "image = plica.Image(np.full((1, 9, 9, 1), 3, np.uint8), grid)\n"
        "codec = plica.load('theirs-4x1-2d')\n"
        "latent = codec.encode(image)\n"
        "print(latent.codec.name, codec.decode(latent).pixels.max(), plica.codecs()[-1].family)\n"
        "print(plica.load('stitched:theirs-4x1-2d').card.name)\n"
    )

    done = run_with(tmp_path, code)

    assert done.stdout.splitlines() == [
        "theirs-4x1-2d 3 theirs", "stitched:theirs-4x1-2d",
    ], done.stderr  # fmt: skip


@pytest.mark.parametrize(
    ("command", "entry", "sentence"),
    [
        ("codecs", "linear-4x1-3d = theirs:OFFER", "two things are registered as codec 'linear-"),
        ("codecs", "broken = theirs:NOTHING", "'broken'"),
        ("codecs", "broken = absent.module:OFFER", "'broken'"),
        ("codecs", "broken = theirs:_CARD", "'broken'"),
        ("doctor", "broken = damaged:OFFER", "(ZeroDivisionError: "),
    ],
)
def test_a_package_that_cannot_be_used_is_named_and_stands_in_no_others_way(
    tmp_path, command, entry, sentence
):
    install(tmp_path, entry, "plain = theirs:PLAIN")
    (tmp_path / "damaged.py").write_text("1 / 0\n")

    done = run_with(tmp_path, "from plica.cli.main import main; import sys\n"
                    f"sys.argv = ['plica', '{command}']; main()")  # fmt: skip
    other = run_with(tmp_path, "import plica; print(plica.load('plain').card.name)")

    assert done.returncode == 0, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("note: ") - (command == "doctor") <= 1, done.stderr
    assert "bicubic-4x-2d" in done.stdout or command == "doctor"
    assert other.stdout == "plain\n", other.stderr


def test_asked_for_by_name_what_cannot_be_used_is_an_error(tmp_path):
    install(tmp_path, "linear-4x1-3d = theirs:OFFER")

    done = run_with(tmp_path, "import plica; plica.load('linear-4x1-3d')")

    assert "uninstall theirs" in done.stderr


@pytest.mark.parametrize("name", ["./nofolder", "nofolder/", "there/not", "../x", "~/codec"])
def test_a_name_like_a_path_is_told_that_there_is_no_such_folder(name):
    with pytest.raises(UnknownName, match="no such folder"):
        find_offer(name)


def test_what_is_no_image_and_no_latent_is_refused_in_a_sentence():
    from plica.codecs.codec import check_image, check_maker
    from plica.errors import LatentError, UnusablePixels

    with pytest.raises(UnusablePixels, match=r"got str: read one with plica\.read"):
        check_image("ct.nii.gz")
    with pytest.raises(LatentError, match=r"got str: make one with encode"):
        check_maker("ct.latent", load("identity").card, "")


def test_settings_a_codec_was_loaded_with_go_into_its_latents_and_others_refuse_them(theirs):
    image = Image(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), Grid.from_spacing((8, 8, 1)))
    half, plain = load(theirs, share=0.5), load(theirs)
    latent = half.encode(image)

    assert latent.codec.settings == {"share": 0.5}
    assert "loaded_with" not in latent.codec.card["extras"]
    assert load(f"stitched:{theirs}", share=0.5).card.loaded_with == {"share": 0.5}
    assert load(theirs, share=np.float64(0.5)).card.loaded_with == {"share": 0.5}
    assert load(theirs, share="0.5").card.loaded_with == {"share": "0.5"}
    np.testing.assert_array_equal(
        half.decode(latent).pixels, plain.decode(plain.encode(image)).pixels
    )
    with pytest.raises(LatentError, match=r"with share=0\.5, but .* no settings of its own: load"):
        plain.decode(latent)
    assert plain.encode(image).codec.settings == {}  # and such are taken, as those made before
    half.decode(plain.encode(image))


def test_what_a_stream_says_itself_need_not_be_set_again():
    image = Image(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), Grid.from_spacing((8, 8, 1)))
    latent = load("jpeg2000", rate=2.0).encode(image)

    assert latent.codec.settings == {"rate": 2.0}
    load("jpeg2000").decode(latent)


class Bare:
    """A codec that is no dataclass, and says its settings itself or not at all."""

    card, fingerprint = sharing.CARD, "2x2"

    def encode(self, image, *, kind=None, seed=None): ...

    def decode(self, latent): ...


@dataclass
class Late(Bare):
    """A codec whose card is made of what it is given."""

    card: CodecCard = field(init=False, default=sharing.CARD)


@pytest.mark.parametrize("kind", [Bare, Late])
def test_a_class_whose_card_cannot_be_changed_is_left_as_it_is(theirs, monkeypatch, kind):
    monkeypatch.setattr(sharing, "OFFER", Offer(sharing.CARD, lambda request: kind()))
    assert dict(load(theirs, share=0.5).card.loaded_with) == {}


def test_a_setting_that_is_no_finite_number_is_kept_as_its_text(theirs):
    assert dict(load(theirs, share=np.float64("inf")).card.loaded_with) == {"share": "inf"}
