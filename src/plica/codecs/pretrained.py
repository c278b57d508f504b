"""Pretrained networks that judge images: where their files are, and how they are opened.

A file is looked for in the weights folder, in PyTorch's own cache, beside an installed package that
brings it, and then on the hub, by pinned revision and SHA-256. What is nowhere is an error that
names every place; nothing else ever stands in for it.

    vgg16, alexnet, squeezenet    torchvision's classifiers, LPIPS' backbones      BSD-3-Clause
    lpips-vgg16, …                LPIPS' linear layers, version 0.1                BSD-2-Clause
    biomedclip                    Zhang et al. 2023; its image tower is read       MIT
    clip                          OpenAI's ViT-B/32; its image tower is read       MIT
    inception                     TensorFlow's of 2015, FID's network              Apache-2.0
    radimagenet, …                Mei et al. 2022, ResNet-50                       none stated
    kl-f4, kl-f8, vq-f4, …        any codec whose weights are not in plica         on its card
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch

from plica.codecs import catalogue, weights
from plica.codecs.card import WeightsSource
from plica.errors import UnknownName, WeightsError
from plica.networks import inception, resnet
from plica.networks.perceptual import Perceptual, join_weights
from plica.networks.vision import VisionTower, clip_tower, image_tower

_TORCHVISION = "https://download.pytorch.org/models/"
_NOWHERE = WeightsSource()


@dataclass(frozen=True)
class Pretrained:
    """A published file.

    Args:
        filenames: What it is called where it was published, and how else it may be kept.
        sha256: Of the file called by the first name; "" where it is not known here.
        advice: How to come by it.
        hub: A copy on the hub, with its own SHA-256.
        cached: Whether torchvision keeps it in PyTorch's cache.
        package: A package that brings it, and where.
    """

    filenames: tuple[str, ...]
    sha256: str
    advice: str
    hub: WeightsSource = _NOWHERE
    cached: bool = False
    package: tuple[str, str] = ("", "")


def _classifier(filename: str, sha256: str, hub: WeightsSource = _NOWHERE) -> Pretrained:
    return Pretrained(
        filenames=(filename,),
        sha256=sha256,
        advice=f"fetch {_TORCHVISION}{filename}",
        hub=hub,
        cached=True,
    )


def _linear(name: str, sha256: str, hub: WeightsSource = _NOWHERE) -> Pretrained:
    return Pretrained(
        filenames=(f"lpips/{name}.pth", f"{name}.pth"),
        sha256=sha256,
        advice=f"take weights/v0.1/{name}.pth out of the package lpips (0.1.4)",
        hub=hub,
        package=("lpips", f"weights/v0.1/{name}.pth"),
    )


PRETRAINED = {
    "vgg16": _classifier(
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        WeightsSource(
            kind="hub",
            repo="timm/vgg16.tv_in1k",
            revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
            filename="model.safetensors",
            sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        ),
    ),
    "alexnet": _classifier(
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ),
    "squeezenet": _classifier(
        "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    ),
    "lpips-vgg16": _linear(
        "vgg",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        # A copy whose tensors are those of the package, bit by bit.
        WeightsSource(
            kind="hub",
            repo="vivym/lpips",
            revision="270571f1fb2a2c4c5f920cec96cd87838c345982",
            filename="vgg_lpips_linear.safetensors",
            sha256="0c6387bf2e51e434dedbc0ca4c5894f605c415b8d128bfe720e13456eb4333ac",
        ),
    ),
    "lpips-alexnet": _linear(
        "alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
    ),
    "lpips-squeezenet": _linear(
        "squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"
    ),
    "biomedclip": Pretrained(
        filenames=("open_clip_pytorch_model.bin", "biomedclip/open_clip_pytorch_model.bin"),
        sha256="52cc993c5c5ff962bd0c60931874bc001e7e9b41666a385530f4a036294576be",
        advice="fetch open_clip_pytorch_model.bin of "
        "huggingface.co/microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        hub=WeightsSource(
            kind="hub",
            repo="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
            revision="9f341de24bfb00180f1b847274256e9b65a3a32e",
            filename="open_clip_pytorch_model.bin",
            sha256="52cc993c5c5ff962bd0c60931874bc001e7e9b41666a385530f4a036294576be",
            bytes=783_705_670,
        ),
    ),
    "clip": Pretrained(
        filenames=(
            "open_clip_model.safetensors",
            "clip/open_clip_model.safetensors",
            "clip/open_clip_pytorch_model.bin",
        ),
        sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
        advice="fetch open_clip_model.safetensors of "
        "huggingface.co/timm/vit_base_patch32_clip_224.openai (OpenAI's own ViT-B-32.pt is a "
        "program, and is not opened here)",
        hub=WeightsSource(
            kind="hub",
            repo="timm/vit_base_patch32_clip_224.openai",
            revision="a6f597a30f7b82c51704746581f9a4e41421e878",
            filename="open_clip_model.safetensors",
            sha256="e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
            bytes=605_143_284,
        ),
    ),
    "inception": Pretrained(
        filenames=(
            "pt_inception-2015-12-05-6726825d.pth",
            "weights-inception-2015-12-05-6726825d.pth",
        ),
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        advice="fetch https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        cached=True,
    ),
    "radimagenet": Pretrained(
        filenames=(
            "RadImageNet-ResNet50_notop.pth",
            "radimagenet/RadImageNet-ResNet50_notop.pth",
        ),
        sha256="",
        advice="fetch RadImageNet-ResNet50_notop.pth, as github.com/Warvito/radimagenet-models "
        "converted it (its torch.hub entry leaves it in PyTorch's cache)",
        cached=True,
    ),
    "radimagenet-lab-rasool": Pretrained(
        filenames=("radimagenet/ResNet50.pt", "ResNet50.pt"),
        sha256="",
        advice="fetch ResNet50.pt of huggingface.co/Lab-Rasool/RadImageNet",
    ),
}
_FORMS: dict[str, resnet.Form] = {"radimagenet": "keras", "radimagenet-lab-rasool": "torch"}


# -- finding -----------------------------------------------------------------------------------


def find(name: str, weights_dir: str | Path | None = None) -> Path:
    """The file of a pretrained network: from the weights folder, a cache, or the hub.

    Args:
        name: In `PRETRAINED`, or a codec's with weights of its own.

    Raises:
        UnknownName: Nothing pretrained has that name.
        WeightsError: The file is nowhere; names every place that was looked at.

    Examples:
        >>> find("vgg16", "weights/")  # wants published weights  # doctest: +SKIP
    """
    return _locate(name, weights_dir)[0]


def places(name: str, weights_dir: str | Path | None = None) -> tuple[Path, ...]:
    """Where on this machine the file is looked for, in order.

    Raises:
        UnknownName: Nothing pretrained has that name.
    """
    pretrained = _get(name)
    found = []
    if weights_dir is not None:
        found += [Path(weights_dir) / filename for filename in pretrained.filenames]
    if pretrained.cached:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        found += [cache / filename for filename in pretrained.filenames if "/" not in filename]
    package, inside = pretrained.package
    spec = importlib.util.find_spec(package) if package else None
    if spec is not None:
        found += [Path(folder) / inside for folder in spec.submodule_search_locations or ()]
    return tuple(found)


def _locate(name: str, weights_dir: str | Path | None) -> tuple[Path, str]:
    """The file, and the SHA-256 it must have: that of the hub's copy, or none for a user's own."""
    looked_at = places(name, weights_dir)
    for place in looked_at:
        if place.is_file():
            return place, ""
    pretrained = _get(name)
    hub = pretrained.hub
    advice = f"{pretrained.advice[0].upper()}{pretrained.advice[1:]}, and give its folder with"
    nowhere = f"there is no {name} at {' or '.join(map(str, looked_at)) or 'any known place'}"
    if hub.kind != "hub":
        raise WeightsError(f"{nowhere}. {advice} --weights-dir")
    try:
        return weights.resolve(hub, None, name=name), hub.sha256
    except WeightsError as error:
        raise WeightsError(
            f"{nowhere}, and {hub.repo} could not be fetched from the hub "
            f"({_say_cause(error)}). {advice} --weights-dir"
        ) from error


def _say_cause(error: WeightsError) -> str:
    """The first sentence of what the hub's client says."""
    said = str(error.__cause__ or error).strip().splitlines()
    return said[0].split(". ")[0].rstrip(".")[:160] if said else "it does not say why"


def _get(name: str) -> Pretrained:
    if name in PRETRAINED:
        return PRETRAINED[name]
    if name not in catalogue.CODECS:
        raise UnknownName(
            f"nothing pretrained is called '{name}'; there are: {', '.join(PRETRAINED)}, and the "
            "codecs with weights of their own"
        )
    source = catalogue.offer(name).card.weights
    if source.kind not in {"hub", "file"}:
        raise UnknownName(f"{name} brings its weights with it, or has none: there is none to find")
    own = tuple(f"{name}.{ending}" for ending in ("safetensors", "ckpt"))
    return Pretrained(
        filenames=tuple(dict.fromkeys((source.filename, f"{name}/model.ckpt", *own))),
        sha256=source.sha256,
        advice=f"fetch {source.filename} as its card says (`plica codecs {name}`)",
        hub=source,
    )


# -- opening -----------------------------------------------------------------------------------


def read_pretrained(name: str, weights_dir: str | Path | None = None) -> weights.Weights:
    """The tensors of a pretrained network's file, by their keys.

    Raises:
        UnknownName: Nothing pretrained has that name.
        WeightsError: The file is nowhere or damaged.
    """
    path, sha256 = _locate(name, weights_dir)
    return weights.read(path, sha256=sha256)


def load_perceptual(network: str = "vgg16", weights_dir: str | Path | None = None) -> Perceptual:
    """LPIPS with a backbone, frozen, on the CPU.

    Args:
        network: vgg16, alexnet or squeezenet.

    Raises:
        SettingsError: There is no such backbone.
        WeightsError: A file is nowhere, damaged or of another network.

    Examples:
        >>> lpips = load_perceptual("vgg16", "weights/")  # wants its weights  # doctest: +SKIP
    """
    with torch.device("meta"):
        perceptual = Perceptual(network=network)
    state = join_weights(
        read_pretrained(network, weights_dir), read_pretrained(f"lpips-{network}", weights_dir)
    )
    weights.fill(perceptual, state, name=f"LPIPS with {network}")
    return perceptual


def load_embedding(weights_dir: str | Path | None = None) -> VisionTower:
    """BiomedCLIP's image tower, frozen, on the CPU.

    Raises:
        WeightsError: The file is nowhere, damaged or of another network.

    Examples:
        >>> tower = load_embedding("weights/")  # wants published weights  # doctest: +SKIP
    """
    with torch.device("meta"):
        tower = VisionTower()
    state = image_tower(read_pretrained("biomedclip", weights_dir))
    weights.fill(tower, state, name="BiomedCLIP's image tower")
    return tower


def load_clip(weights_dir: str | Path | None = None) -> VisionTower:
    """The image tower of CLIP ViT-B/32, frozen, on the CPU.

    Raises:
        WeightsError: The file is nowhere, damaged or of another network.
    """
    with torch.device("meta"):
        tower = VisionTower(patch=32, clip=True)
    weights.fill(tower, clip_tower(read_pretrained("clip", weights_dir)), name="CLIP's image tower")
    return tower


def load_inception(weights_dir: str | Path | None = None) -> inception.Inception:
    """FID's Inception-v3, frozen, on the CPU.

    Raises:
        WeightsError: The file is nowhere, damaged or of another network.
    """
    with torch.device("meta"):
        network = inception.Inception()
    state = inception.trunk(read_pretrained("inception", weights_dir))
    weights.fill(network, state, name="FID's Inception")
    return network


def load_radimagenet(
    weights_dir: str | Path | None = None, *, name: str = "radimagenet"
) -> resnet.ResNet50:
    """RadImageNet's ResNet-50, frozen, on the CPU.

    Args:
        name: Which of the two files called so: "radimagenet" or "radimagenet-lab-rasool".

    Raises:
        UnknownName: It is neither.
        WeightsError: The file is nowhere, damaged or of another network, such as of the other.

    Examples:
        >>> network = load_radimagenet("weights/")  # wants published weights  # doctest: +SKIP
    """
    if name not in _FORMS:
        raise UnknownName(f"RadImageNet's files are {' and '.join(_FORMS)}, not '{name}'")
    with torch.device("meta"):
        network = resnet.ResNet50(form=_FORMS[name])
    weights.fill(network, resnet.trunk(read_pretrained(name, weights_dir)), name=name)
    return network


def describe(name: str, weights_dir: str | Path | None = None) -> str:
    """Which file stands behind a name, for logs and cards: its name, SHA-256, and whose it is.

    Raises:
        UnknownName: Nothing pretrained has that name.
        WeightsError: The file is nowhere.
    """
    path = find(name, weights_dir)
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    known = {_get(name).sha256, _get(name).hub.sha256} - {""}
    verdict = "as published" if sha256 in known else "not the file that is known as published"
    verdict = verdict if known else "whose SHA-256 as published is not known here"
    return f"{path.name}, sha256:{sha256} ({verdict})"
