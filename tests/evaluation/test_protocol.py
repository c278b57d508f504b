"""Protocols are read strictly, and the shipped ones print what their papers print."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from plica import settings
from plica.codecs.catalogue import cards
from plica.errors import SettingsError, UnknownName
from plica.evaluation.protocol import (
    Crop,
    Group,
    Probe,
    Protocol,
    Published,
    Resize,
    Sample,
    list_protocols,
    read_protocol,
)
from plica.evaluation.tasks import TASKS
from plica.metrics.metric import METRICS
from plica.networks.probes import PROBES

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [listed.name for listed in list_protocols()]
OWN = Group("own", where={"category": ("cxr",)})
SMALL = Protocol("small", 1, "Small.", ("psnr",), groups=(OWN,))


# -- strictness ----------------------------------------------------------------------------------


def test_a_misspelt_setting_is_answered_with_the_right_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(settings.to_toml(SMALL).replace("version", "versions"))
    with pytest.raises(SettingsError, match="did you mean 'version'"):
        read_protocol(path)


def test_a_misspelt_setting_deep_inside_is_named_by_its_place(tmp_path):
    path = tmp_path / "mine.toml"
    group = replace(OWN, crop=Crop((8, 8, 8)))
    text = settings.to_toml(replace(SMALL, groups=(group,)))
    path.write_text(text.replace("voxels", "voxel"))
    with pytest.raises(SettingsError, match=r"groups\.0\.crop: no setting 'voxel'"):
        read_protocol(path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"version": 0}, "versions begin at 1"),
        ({"metrics": ()}, "measures nothing"),
        ({"sample": Sample(-1)}, "images are 0"),
        ({"sample": Sample(1, 0)}, "draws 1 or more"),
        ({"kind": "probe"}, r"\[probe\]"),
        ({"probe": Probe("hrnet-w64")}, r"\[probe\]"),
        ({"groups": (OWN, OWN)}, "one name"),
        ({"groups": (Group("x"),)}, "no case could belong"),
        ({"groups": (Group("x", data=("nowhere",)),)}, "no data set is called nowhere"),
        ({"groups": (replace(OWN, crop=Crop((0, 1, 1))),)}, "three sides"),
        ({"groups": (replace(OWN, resize=Resize()),)}, "either a shape or"),
        ({"groups": (replace(OWN, resize=Resize((1, 2))),)}, "three sides"),
        ({"groups": (replace(OWN, window=(1.0, -1.0)),)}, "low below high"),
        ({"published": (Published("a", 4, 1, {"else": {"psnr": (1.0,)}}),)}, "no group 'else'"),
        ({"published": (Published("a", 4, 1, {"own": {"mae": (1.0,)}}),)}, "mae is not measured"),
        ({"published": (Published("a", 4, 1, {"own": {"psnr": ()}}),)}, "a mean, or a mean and"),
    ],
)
def test_what_does_not_fit_together_is_refused(broken, message):
    with pytest.raises(SettingsError, match=message):
        replace(SMALL, **broken)


def test_a_protocol_is_found_by_name_or_path_and_a_typo_is_answered(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(settings.to_toml(SMALL))
    assert read_protocol(path) == SMALL
    assert read_protocol(str(path)) == SMALL
    with pytest.raises(UnknownName, match="did you mean medvae-table-2"):
        read_protocol("medvae-tabel-2")
    with pytest.raises(UnknownName, match="no protocol at"):
        read_protocol(tmp_path / "other.toml")
    with pytest.raises(UnknownName, match="did you mean 'own'"):
        SMALL.group("owm")


# -- those that come with plica ------------------------------------------------------------------


def test_every_published_table_is_there_and_so_is_the_default():
    assert SHIPPED == [
        "medvae-table-1-2d", "medvae-table-1-3d", "medvae-table-2", "medvae-table-4",
        "medvae-table-5", "medvae-table-5-fractures", "medvae-table-6", "medvae-table-7",
        "precursor-table-1", "precursor-table-2", "reconstruction",
    ]  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_protocol_names_only_what_exists(name):
    protocol = read_protocol(name)
    assert protocol.name == name
    assert settings.parse(Protocol, settings.to_toml(protocol)) == protocol
    known = {card.name for card in cards()}
    assert {row.codec for row in protocol.published} - {""} <= known
    if protocol.probe:
        assert protocol.probe.network in PROBES
        assert {group.task for group in protocol.groups} <= TASKS.keys()
        assert protocol.metrics == ("auroc",)
    else:
        assert set(protocol.metrics) <= METRICS.keys()
    for group in protocol.groups:
        for dataset in group.data:
            assert protocol.dataset(dataset).homepage.startswith("http")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_codec_stands_for_the_factor_and_channels_of_its_row(name):
    """The precursor's f is per axis; Table 6 prints 3 channels where its models have 4."""
    facts = {card.name: card for card in cards()}
    for row in read_protocol(name).published:
        if not row.codec:
            continue
        card = facts[row.codec]
        axes = 1 if name.startswith("precursor") else 3 if row.codec.endswith("3d") else 2
        assert card.factor**axes == row.factor, row.label
        assert card.channels == row.channels or name == "medvae-table-6", row.label


# A second transcription by hand, a few numbers of each row of each table.
@pytest.mark.parametrize(
    ("name", "label", "group", "metric", "numbers"),
    [
        ("medvae-table-2", "Bicubic, f = 16, C = 1", "FFDMs", "psnr", (31.69,)),
        ("medvae-table-2", "KL-VAE, f = 16, C = 3", "Abdomen CTs", "psnr", (43.51,)),
        ("medvae-table-2", "VQ-GAN, f = 16, C = 3", "Brain MRIs", "ms-ssim", (0.992,)),
        ("medvae-table-2", "2D MedVAE, f = 16, C = 1", "MSK X-rays", "psnr", (33.97,)),
        ("medvae-table-2", "2D MedVAE, f = 16, C = 3", "Abdomen CTs", "ms-ssim", (0.999,)),
        ("medvae-table-2", "3D MedVAE, f = 64, C = 1", "Brain MRIs", "psnr", (29.52,)),
        ("medvae-table-5", "Nearest, f = 16, C = 1", "Mammograms", "psnr", (25.95, 0.06)),
        ("medvae-table-5", "Bilinear, f = 64, C = 1", "Chest X-rays", "psnr", (31.18, 0.03)),
        ("medvae-table-5", "VQ-GAN, f = 64, C = 4", "Musculoskeletal X-rays", "ms-ssim",
         (0.953, 0.0)),
        ("medvae-table-5", "2D Med-VAE, f = 64, C = 4", "Mammograms", "psnr", (33.13, 0.07)),
        ("medvae-table-5-fractures", "Bicubic, f = 16, C = 1", "Wrist X-rays (FG)", "psnr",
         (32.65, 0.04)),
        ("medvae-table-5-fractures", "2D Med-VAE, f = 16, C = 3", "Wrist X-rays (FG)", "psnr",
         (37.61, 0.02)),
        ("medvae-table-6", "KL-VAE, f = 64, C = 3", "Head CTs", "psnr", (40.95,)),
        ("medvae-table-6", "2D Med-VAE, f = 16, C = 1", "Knee MRIs", "ms-ssim", (0.990,)),
        ("medvae-table-6", "3D Med-VAE, f = 512, C = 1", "TS CTs", "psnr", (26.34,)),
        ("medvae-table-6", "VQ-GAN, f = 64, C = 3", "Lung CTs", "psnr", (26.66,)),
        ("medvae-table-7", "2D Med-VAE-Decoder, f = 512, C = 1", "Head CTs", "ms-ssim", (0.824,)),
        ("medvae-table-7", "2D Med-VAE-Decoder, f = 64, C = 1", "Abdomen CTs", "psnr", (31.47,)),
        ("medvae-table-1-2d", "High-Resolution, f = 1, C = 1", "Bone Age", "auroc", (80.2, 0.1)),
        ("medvae-table-1-2d", "2D MedVAE, f = 16, C = 1", "Calcification", "auroc", (63.9, 0.4)),
        ("medvae-table-1-2d", "VQ-GAN, f = 64, C = 4", "Malignancy", "auroc", (64.5, 0.5)),
        ("medvae-table-1-2d", "2D MedVAE, f = 64, C = 4", "Wrist Fracture", "auroc", (66.7, 0.1)),
        ("medvae-table-1-3d", "3D MedVAE, f = 64, C = 1", "Skull Fractures", "auroc", (87.0, 7.3)),
        ("medvae-table-1-3d", "Bicubic, f = 512, C = 1", "Skull Fractures", "auroc", (38.4, 24.5)),
        ("medvae-table-1-3d", "VQ-GAN, f = 512, C = 4", "Spine Fractures", "auroc", (68.9, 7.0)),
        ("medvae-table-4", "2D Med-VAE, f = 512, C = 4", "Skull Fractures", "auroc", (17.1, 8.6)),
        ("medvae-table-4", "2D Med-VAE, f = 64, C = 1", "Spine Fractures", "auroc", (80.5, 4.9)),
        ("precursor-table-1", "Full Size, f = 1, C = 1", "BI-RADS", "auroc", (63.4,)),
        ("precursor-table-1", "Ours, f = 4, C = 1", "Wrist Fracture", "auroc", (70.0,)),
        ("precursor-table-1", "Ours, f = 16, C = 16", "Malignancy", "auroc", (54.5,)),
        ("precursor-table-2", "Bicubic Interpolation, f = 8, C = 1", "Chest X-rays and FFDMs",
         "fid-biomedclip", (840.56, 1.18)),
        ("precursor-table-2", "SD VAE, f = 4, C = 3", "Chest X-rays and FFDMs", "fid-inception",
         (3.23, 0.03)),
        ("precursor-table-2", "Ours, f = 8, C = 4", "Chest X-rays and FFDMs", "fid-clip",
         (0.38, 0.0)),
        ("precursor-table-2", "Ours, f = 4, C = 4", "Chest X-rays and FFDMs", "psnr",
         (38.85, 0.12)),
    ],
)  # fmt: skip
def test_published_values_are_those_of_the_paper(name, label, group, metric, numbers):
    rows = {row.label: row for row in read_protocol(name).published}
    assert rows[label].values[group][metric] == numbers


def test_tables_that_print_one_number_twice_agree():
    """Table 2 is a part of Tables 5 and 6, and Table 7's rows of 3D MedVAE are Table 6's."""
    two, five, six, seven = (read_protocol(f"medvae-table-{n}") for n in (2, 5, 6, 7))

    def means(protocol, group):
        return protocol.published_means()[group]

    for group, twin in (("FFDMs", "Mammograms"), ("MSK X-rays", "Musculoskeletal X-rays")):
        for codec, values in means(two, group).items():
            assert values == means(five, twin)[codec]
    for group in ("Brain MRIs", "Abdomen CTs"):
        for codec, values in means(two, group).items():
            assert values == means(six, group)[codec]
    for group in (one.name for one in seven.groups):
        for codec in ("medvae-4x1-3d", "medvae-8x1-3d"):
            assert means(seven, group)[codec] == means(six, group)[codec]


def test_crops_and_samples_are_the_papers():
    six = read_protocol("medvae-table-6")
    for group in six.groups:
        large = group.name in ("Head CTs", "Abdomen CTs")
        assert group.crop.voxels == ((320, 320, 160) if large else (160, 160, 160))
        assert bool(group.window) == group.name.endswith("CTs")
    assert six.sample == Sample(images=100, draws=1)
    assert read_protocol("medvae-table-5").sample == Sample(images=1000, draws=4)
    two = read_protocol("medvae-table-2")
    assert two.sample_of("FFDMs").images == 1000
    assert two.sample_of("Brain MRIs").images == 100
    assert (two.dims_of("FFDMs"), two.dims_of("Brain MRIs")) == (2, 3)


def test_protocols_travel_in_wheel_and_sdist():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"]["protocols"] == "plica/protocols"
    assert "/protocols" in build["targets"]["sdist"]["include"]


def test_the_page_lists_every_protocol_task_and_data_set():
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    for name in (*SHIPPED, *TASKS):
        assert re.search(rf"^\| `{name}` \|", page, re.MULTILINE), name
