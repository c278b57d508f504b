"""Files as the world publishes pretrained networks, with noise for weights, made in a second.

For walking the whole way of a training: the layouts are the official ones, the numbers mean
nothing. `tests/networks/made.py` makes weights that golden values are known for.
"""

import functools
import json
import math
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file

from plica.networks.kl import KlAutoencoder
from plica.networks.perceptual import Perceptual
from plica.networks.vq import VqAutoencoder

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "perceptual"
JUDGES = ("vgg16", "lpips-vgg16", "biomedclip")
_BLOCK = 1_048_573  # a prime: rows of no kernel begin at the same place in it
_SHORT = {"vgg16": "vgg", "alexnet": "alex", "squeezenet": "squeeze"}
_CLASSIFIERS = {
    "vgg16": "vgg16-397923af.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
    "squeezenet": "squeezenet1_1-b8a52dc0.pth",
}


def make_weights_dir(folder: Path, names: Iterable[str] = JUDGES) -> Path:
    """A folder for `--weights-dir`.

    Args:
        names: As in `plica.codecs.pretrained`: classifiers, lpips-…, biomedclip, what distances
            between sets look through, kl-f4, kl-f8, vq-f4; the codecs at their full width.
    """
    for name in names:
        if name in _CLASSIFIERS:
            make_classifier(name, folder)
        elif name in _FEATURES:
            _FEATURES[name](folder)
        elif name == "biomedclip":
            make_biomedclip(folder)
        elif name.startswith("lpips-"):
            make_linear(name.removeprefix("lpips-"), folder)
        else:
            _CODECS[name](folder)
    return folder


def make_classifier(name: str, folder: Path) -> Path:
    """torchvision's file of a backbone, with what is left of its classifier."""
    state = {k: v for k, v in _judge(name).items() if k.startswith("features.")}
    return _save(state | {"classifier.6.bias": torch.zeros(1000)}, folder / _CLASSIFIERS[name])


def make_linear(name: str, folder: Path) -> Path:
    """LPIPS' linear layers in the old format in which they are published."""
    state = {k: v.float().abs() for k, v in _judge(name).items() if k.startswith("lin")}
    path = folder / "lpips" / f"{_SHORT[name]}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def make_biomedclip(folder: Path, *, depth: int = 12) -> Path:
    """open_clip's checkpoint: the image tower, in half precision, and a little text.

    Args:
        depth: How many of its twelve layers are there.
    """
    shapes = json.loads((GOLDEN / "biomedclip.keys.json").read_text())
    left_out = tuple(f"trunk.blocks.{layer}." for layer in range(depth, 12))
    state = {
        f"visual.{key}": make_noise(key, tuple(shape))
        for key, shape in shapes.items()
        if not key.startswith(left_out)
    }
    beside = {
        "logit_scale": torch.zeros(()),
        "text.proj.0.weight": torch.zeros(8, 8),
        "text.transformer.embeddings.position_ids": torch.arange(8)[None],
    }
    return _save(state | beside, folder / "open_clip_pytorch_model.bin")


def make_clip(folder: Path) -> Path:
    """open_clip's safetensors of CLIP ViT-B/32: the whole image tower and a little text."""
    state = {f"visual.{key}": value for key, value in _make_alive("clip").items()}
    beside = {"logit_scale": torch.zeros(()), "text_projection": torch.zeros(8, 8)}
    path = folder / "open_clip_model.safetensors"
    return _save({"state_dict": state | beside}, path)


def make_inception(folder: Path) -> Path:
    """FID's Inception, with classifier and counters."""
    counters = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    return _save(
        _make_alive("inception") | counters, folder / "pt_inception-2015-12-05-6726825d.pth"
    )


def make_radimagenet(folder: Path) -> Path:
    """RadImageNet's ResNet-50, brought over from Keras."""
    counters = {"bn1.num_batches_tracked": torch.tensor(0)}
    return _save(_make_alive("resnet keras") | counters, folder / "RadImageNet-ResNet50_notop.pth")


def make_lab_rasool(folder: Path) -> Path:
    """The other one, whose modules have numbers."""
    numbers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    named = {}
    for key, value in _make_alive("resnet torch").items():
        head, _, rest = key.partition(".")
        named[f"backbone.{numbers[head]}.{rest}"] = value
    return _save(named, folder / "radimagenet" / "ResNet50.pt")


def _make_alive(name: str) -> dict[str, torch.Tensor]:
    """Noise that reaches the end of a deep network of rectifiers, in half precision."""
    shapes = json.loads((GOLDEN.with_name("distribution") / "keys.json").read_text())[name]
    return {
        key: torch.zeros(shape, dtype=torch.float16)
        if key.endswith("running_mean")
        else make_noise(key, tuple(shape)) * (2**0.5 if len(shape) == 4 else 1)
        for key, shape in shapes.items()
    }


def make_kl(
    path: Path, *, widths: tuple[int, ...], codes: int, channels: int = 3, dims: int = 2
) -> Path:
    """A checkpoint of latent diffusion's KL autoencoder of any widths, in CompVis' layout."""
    with torch.device("meta"):
        network = KlAutoencoder(dims=dims, in_channels=channels, code_channels=codes, widths=widths)
    beside = {"loss.logvar": torch.zeros(())}
    return _save({"state_dict": make_noisy(network) | beside}, path)


def make_vq(path: Path, *, widths: tuple[int, ...], codes: int, codebook: int) -> Path:
    """The same of the VQ autoencoder."""
    with torch.device("meta"):
        network = VqAutoencoder(
            dims=2, in_channels=3, code_channels=codes, codebook=codebook, widths=widths
        )
    return _save({"state_dict": make_noisy(network)}, path)


def make_noisy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Noise for every tensor of a network that was made without memory."""
    return {k: make_noise(k, tuple(v.shape)) for k, v in network.state_dict().items()}


def make_noise(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Noise of the size that first weights have, in half precision: ones for scales, no biases."""
    if key.endswith(".bias"):
        return torch.zeros(shape, dtype=torch.float16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.float16)
    count, first = math.prod(shape), zlib.crc32(key.encode()) % _BLOCK
    noise = _noise().roll(first).repeat(-(-count // _BLOCK))[:count].reshape(shape)
    return noise * (math.prod(shape[1:]) ** -0.5)


@functools.cache
def _noise() -> torch.Tensor:
    return torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)).half()


def _judge(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        network = Perceptual(network=name)
    return make_noisy(network)


def _save(state: dict, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(state["state_dict"], path)
    else:
        torch.save(state, path)
    return path


def _kl_f8(folder: Path) -> Path:
    path = folder / "diffusion_pytorch_model.safetensors"
    with torch.device("meta"):
        network = KlAutoencoder(dims=2, in_channels=3, code_channels=4, widths=(128, 256, 512, 512))
    return _save({"state_dict": make_noisy(network)}, path)


_CODECS: dict[str, Callable[[Path], Path]] = {
    "kl-f4": lambda folder: make_kl(folder / "kl-f4/model.ckpt", widths=(128, 256, 512), codes=3),
    "kl-f8": _kl_f8,
    "vq-f4": lambda folder: make_vq(
        folder / "vq-f4/model.ckpt", widths=(128, 256, 512), codes=3, codebook=8192
    ),
}
_FEATURES: dict[str, Callable[[Path], Path]] = {
    "clip": make_clip,
    "inception": make_inception,
    "radimagenet": make_radimagenet,
    "radimagenet-lab-rasool": make_lab_rasool,
}
