"""A codec computes in the precision that was asked for, and says so."""

import numpy as np
import pytest
import torch

import plica
from plica.codecs import precision
from plica.errors import SettingsError


def _make_image():
    pixels = np.random.default_rng(0).normal(0, 300, (1, 40, 36, 1)).astype(np.float32)
    return plica.Image(pixels, plica.Grid.from_spacing((40, 36, 1)))


def test_half_precision_is_near_and_on_record():
    image = _make_image()
    exact = plica.load("compact-4x3-2d").encode(image)
    codec = plica.load("compact-4x3-2d", precision="bfloat16")
    latent = codec.encode(image)

    assert codec.precision == "bfloat16"
    assert 0 < np.std(latent.codes - exact.codes) < 0.03 * np.std(exact.codes)
    assert latent.codec == exact.codec
    assert any("bfloat16" in line for line in latent.provenance.steps)
    assert not any("bfloat16" in line for line in exact.provenance.steps)


def test_either_precision_decodes_what_the_other_made():
    image = _make_image()
    exact = plica.load("compact-4x3-2d")
    latent = exact.encode(image)
    rounded = plica.load("compact-4x3-2d", precision="bfloat16").decode(latent)
    difference = rounded.pixels - exact.decode(latent).pixels
    assert 0 < np.std(difference) < 0.05 * np.std(image.pixels)


def test_float32_is_the_default_and_may_be_asked_for():
    assert plica.load("compact-4x3-2d").precision == "float32"
    assert plica.load("compact-4x3-2d", precision="float32").precision == "float32"


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("compact-4x3-2d", "bfloat", "did you mean bfloat16"),
        ("compact-4x3-2d", "half", "float32 or bfloat16"),
        ("linear-4x3-2d", "bfloat16", "no layers"),
    ],
)
def test_other_precisions_are_refused(name, asked, said):
    with pytest.raises(SettingsError, match=said):
        plica.load(name, precision=asked)


def test_what_is_only_imitated_is_said(monkeypatch):
    codec = plica.load("compact-4x3-2d", device="cpu", precision="bfloat16")
    monkeypatch.setattr(precision, "is_native", lambda device: False)
    assert "slower" in precision.describe_slowness(codec)
    monkeypatch.setattr(precision, "is_native", lambda device: True)
    assert precision.describe_slowness(codec) == ""
    assert precision.describe_slowness(plica.load("compact-4x3-2d")) == ""


def test_weights_are_rounded_once_only():
    network = plica.load("compact-4x3-2d", precision="bfloat16").network
    assert network.encoder.head.weight.dtype == torch.bfloat16
    assert network.analysis.dtype == torch.float32
