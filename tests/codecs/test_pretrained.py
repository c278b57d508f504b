"""Pretrained networks are found by name, opened safely, and never replaced by anything."""

import hashlib
from pathlib import Path

import pytest
import torch
from tests.networks.published import (
    make_classifier,
    make_kl,
    make_linear,
    make_noisy,
    make_weights_dir,
)

from plica.codecs import pretrained, weights
from plica.codecs.pretrained import (
    PRETRAINED,
    describe,
    find,
    load_clip,
    load_embedding,
    load_inception,
    load_perceptual,
    load_radimagenet,
    places,
    read_pretrained,
)
from plica.errors import SettingsError, UnknownName, WeightsError
from plica.networks.perceptual import BACKBONES


@pytest.fixture(autouse=True)
def _no_hub_and_no_cache(monkeypatch, tmp_path):
    """What the hub would be asked for is refused; PyTorch's cache is empty."""

    def refuse(source, given, *, name):
        raise WeightsError(f"{source.repo}@{source.revision} is not here") from OSError(
            "The hub does not answer. It is asleep"
        )

    monkeypatch.setattr(weights, "resolve", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    names = [name for backbone in BACKBONES for name in (backbone, f"lpips-{backbone}")]
    names += ["biomedclip", "clip", "inception", "radimagenet", "radimagenet-lab-rasool"]
    return make_weights_dir(tmp_path_factory.mktemp("weights"), names)


# -- finding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_file_is_found_under_its_published_name(folder, name):
    assert find(name, folder).is_relative_to(folder)


@pytest.mark.parametrize("name", [*PRETRAINED, "kl-f4", "medvae-4x1-2d"])
def test_what_is_nowhere_is_an_error_that_names_each_place(tmp_path, name):
    with pytest.raises(WeightsError) as caught:
        find(name, tmp_path)
    message = str(caught.value)

    for place in places(name, tmp_path):
        assert str(place) in message
    assert str(tmp_path) in message
    assert "--weights-dir" in message
    assert len(message) < 900


def test_the_error_says_what_the_hub_said_and_where_else_the_file_is(tmp_path):
    with pytest.raises(
        WeightsError,
        match=r"timm/vgg16\.tv_in1k could not be fetched from the hub \(The hub does not answer\)"
        r"\. Fetch https://download\.pytorch\.org/models/vgg16-397923af\.pth, and give",
    ):
        find("vgg16", tmp_path)


def test_pytorch_s_cache_is_looked_at_after_the_folder(folder, tmp_path):
    cache = tmp_path / "torch-home" / "hub" / "checkpoints"
    cached = make_classifier("squeezenet", cache)

    assert find("squeezenet") == cached
    assert find("squeezenet", tmp_path) == cached
    assert find("squeezenet", folder) != cached


def test_an_installed_package_may_bring_the_file(monkeypatch, tmp_path):
    package = tmp_path / "site" / "lpips"
    (package / "weights" / "v0.1").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('it must not be imported')")
    file = package / "weights" / "v0.1" / "alex.pth"
    make_linear("alexnet", tmp_path).rename(file)
    monkeypatch.syspath_prepend(tmp_path / "site")

    assert find("lpips-alexnet") == file


def test_the_hub_s_copy_is_asked_for_by_revision_and_checked(monkeypatch, tmp_path):
    file = make_linear("vgg16", tmp_path)
    asked = []
    monkeypatch.setattr(weights, "resolve", lambda source, *_, **__: asked.append(source) or file)

    with pytest.raises(WeightsError, match="0c6387bf2e51"):
        read_pretrained("lpips-vgg16")

    assert asked[0].repo == "vivym/lpips"
    assert len(asked[0].revision) == 40


def test_codecs_with_weights_of_their_own_are_found_too(tmp_path):
    made = make_kl(tmp_path / "kl-f4" / "model.ckpt", widths=(32,), codes=3)

    assert find("kl-f4", tmp_path) == made


@pytest.mark.parametrize("name", ["vgg19", "bicubic-4x-2d", "linear-4x1-2d"])
def test_what_is_not_pretrained_is_unknown(name):
    with pytest.raises(UnknownName, match=name):
        find(name)


def test_every_pin_is_whole():
    unknown = {"radimagenet", "radimagenet-lab-rasool"}  # no source of theirs says it
    for name, one in PRETRAINED.items():
        assert len(one.sha256) == (0 if name in unknown else 64)
        if one.hub.kind == "hub":
            assert len(one.hub.revision) == 40
            assert len(one.hub.sha256) == 64


def test_the_page_about_them_says_what_the_table_says():
    page = (Path(__file__).resolve().parents[2] / "docs" / "pretrained.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}

    assert rows.keys() == PRETRAINED.keys()
    for name, one in PRETRAINED.items():
        for fact in (one.filenames[0], one.sha256, one.hub.repo):
            assert fact in rows[name]


# -- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
def test_lpips_is_put_together_from_its_two_files(folder, backbone):
    perceptual = load_perceptual(backbone, folder)
    x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    linear = read_pretrained(f"lpips-{backbone}", folder)
    assert torch.equal(
        perceptual.state_dict()["lin2.model.1.weight"], linear["lin2.model.1.weight"]
    )
    assert (perceptual(x, -x) > 0).all()
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())


def test_the_tower_is_taken_out_of_the_whole_of_biomedclip(folder):
    tower = load_embedding(folder)
    x = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    embedding = tower.embed(x)

    assert embedding.shape == (1, 512)
    assert embedding.std() > 0.1
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert {value.dtype for value in tower.state_dict().values()} == {torch.float32}


def test_weights_of_another_network_are_refused(folder, tmp_path):
    make_linear("alexnet", tmp_path).rename(tmp_path / "vgg.pth")
    make_classifier("vgg16", tmp_path)

    with pytest.raises(WeightsError, match=r"LPIPS with vgg16.*of another shape \(lin1"):
        load_perceptual("vgg16", tmp_path)


def test_a_tower_that_is_not_whole_is_refused(folder, tmp_path):
    state = weights.read(find("biomedclip", folder))
    torch.save(
        {key: value for key, value in state.items() if "blocks.11" not in key},
        tmp_path / "open_clip_pytorch_model.bin",
    )

    with pytest.raises(WeightsError, match="12 missing"):
        load_embedding(tmp_path)


def test_an_unknown_backbone_is_refused(folder):
    with pytest.raises(SettingsError, match="vgg16"):
        load_perceptual("vgg19", folder)


def test_what_stands_behind_a_name_is_said(folder, tmp_path, monkeypatch):
    said = describe("vgg16", folder)
    sha256 = hashlib.sha256(find("vgg16", folder).read_bytes()).hexdigest()

    assert said == f"vgg16-397923af.pth, sha256:{sha256} (not the file that is known as published)"
    known = PRETRAINED["vgg16"].__class__(("vgg16-397923af.pth",), sha256, "")
    monkeypatch.setitem(pretrained.PRETRAINED, "vgg16", known)
    assert describe("vgg16", folder).endswith("(as published)")


def test_made_weights_are_alive():
    """A signal goes through them and comes out neither silent nor loud."""
    from plica.networks.kl import KlAutoencoder

    network = KlAutoencoder(dims=2, in_channels=3, code_channels=3, widths=(32, 64))
    network.load_state_dict({key: v.float() for key, v in make_noisy(network).items()})
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    assert 0.01 < network.decode(network.encode(x)).std() < 10


# -- what distances between sets look through --------------------------------------------------


@pytest.mark.parametrize(
    ("load", "side"), [(load_clip, 224), (load_inception, 96), (load_radimagenet, 64)]
)
def test_a_published_layout_becomes_a_network_that_tells_pictures_apart(folder, load, side):
    network = load(folder)
    x = torch.rand((2, 3, side, side), generator=torch.Generator().manual_seed(0))

    first, second = network(x)

    assert first.dtype == torch.float32
    assert (first - second).abs().max() > 1e-3
    assert not network.training


def test_radimagenet_s_two_files_are_not_taken_for_each_other(folder, tmp_path):
    assert load_radimagenet(folder, name="radimagenet-lab-rasool").form == "torch"
    source = find("radimagenet", folder)
    (tmp_path / "ResNet50.pt").write_bytes(source.read_bytes())

    with pytest.raises(WeightsError, match=r"unexpected \(.*conv1.bias"):
        load_radimagenet(tmp_path, name="radimagenet-lab-rasool")
    with pytest.raises(UnknownName, match="not 'resnet'"):
        load_radimagenet(folder, name="resnet")


def test_the_cache_keeps_inception_under_either_program_s_name(tmp_path):
    cache = tmp_path / "torch-home" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "weights-inception-2015-12-05-6726825d.pth").write_bytes(b"made")

    assert find("inception").name == "weights-inception-2015-12-05-6726825d.pth"
