"""Makes golden.npz and keys.json: what others' networks say of made pictures under made weights.

Run once, outside the tests, where these are installed beside a CPU build of torch: torch-fidelity
0.4.0, pytorch-fid 0.3.0, torchvision 0.28.0, open_clip 3.3.0; from the repository's root:

    python tests/golden/distribution/make_golden.py

`tests/torchvision_beside_cpu` on PYTHONPATH lets torchvision be imported there.
"""

import json
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity
from made import make_input, make_state
from pytorch_fid import inception as pytorch_fid
from torch import nn
from torchvision.models import resnet50

HERE = Path(__file__).resolve().parent
SIDE = 299


def shapes_of(network: nn.Module) -> dict[str, list[int]]:
    return {
        key: list(value.shape)
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def load(network: nn.Module) -> nn.Module:
    network.load_state_dict(make_state(shapes_of(network)), strict=False)
    return network.eval()


def look_by_torch_fidelity(x: torch.Tensor, keys: dict) -> torch.Tensor:
    """Their extractor takes whole grey levels; 299 × 299 pixels stay as they are."""
    fidelity.load_state_dict_from_url = lambda *_, **__: {}
    fidelity.FeatureExtractorInceptionV3.load_state_dict = lambda *_, **__: None
    network = fidelity.FeatureExtractorInceptionV3("made", ["2048"])
    del fidelity.FeatureExtractorInceptionV3.load_state_dict
    keys["inception"] = shapes_of(network)
    return load(network)((x * 255).round().to(torch.uint8))[0]


def look_by_pytorch_fid(x: torch.Tensor) -> torch.Tensor:
    """Blocks of a network whose weights are loaded before it is cut up; input in [−1, 1]."""
    whole = pytorch_fid._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    whole.Mixed_5b = pytorch_fid.FIDInceptionA(192, pool_features=32)
    whole.Mixed_5c = pytorch_fid.FIDInceptionA(256, pool_features=64)
    whole.Mixed_5d = pytorch_fid.FIDInceptionA(288, pool_features=64)
    for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(whole, f"Mixed_{name}", pytorch_fid.FIDInceptionC(768, channels_7x7=width))
    whole.Mixed_7b = pytorch_fid.FIDInceptionE_1(1280)
    whole.Mixed_7c = pytorch_fid.FIDInceptionE_2(2048)
    load(whole)
    pytorch_fid.fid_inception_v3 = lambda: whole
    network = pytorch_fid.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    return network((x * 255 - 128) / 128)[0][:, :, 0, 0]


def look_by_resnet(x: torch.Tensor, keys: dict, *, keras: bool) -> torch.Tensor:
    network = resnet50(weights=None)
    network.fc = nn.Identity()
    if keras:  # as keras.applications has it
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.bias = nn.Parameter(torch.zeros(module.out_channels))
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1.001e-5
        for level in (network.layer2, network.layer3, network.layer4):
            level[0].conv1.stride, level[0].conv2.stride = (2, 2), (1, 1)
    keys["resnet keras" if keras else "resnet torch"] = shapes_of(network)
    return load(network)(x)


def look_by_open_clip(x: torch.Tensor, keys: dict) -> torch.Tensor:
    keys["clip"] = shapes_of(open_clip.create_model("ViT-B-32-quickgelu").visual)
    small = open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=8, width=64, layers=3, heads=4, mlp_ratio=4.0, output_dim=16,
        act_layer=open_clip.transformer.QuickGELU,
    )  # fmt: skip
    keys["clip small"] = shapes_of(small)
    return load(small)(x)


@torch.inference_mode()
def main() -> None:
    torch.manual_seed(0)
    keys: dict[str, dict[str, list[int]]] = {}
    picture = (make_input("inception", (2, 3, SIDE, SIDE)) * 255).round() / 255
    golden = {
        "torch-fidelity": look_by_torch_fidelity(picture, keys),
        "pytorch-fid": look_by_pytorch_fid(picture),
        "resnet torch": look_by_resnet(make_input("resnet", (2, 3, 64, 80)), keys, keras=False),
        "resnet keras": look_by_resnet(make_input("resnet", (2, 3, 64, 80)), keys, keras=True),
        "clip": look_by_open_clip(make_input("clip", (2, 3, 32, 32)) * 2 - 1, keys),
    }
    np.savez_compressed(HERE / "golden.npz", **{k: v.numpy() for k, v in golden.items()})
    (HERE / "keys.json").write_text(json.dumps(keys) + "\n")


if __name__ == "__main__":
    main()
