"""The patch discriminator: its layout, its losses, and one batch over several processes."""

import copy
import os

import pytest
import torch
from tests.networks.made import make_input, make_state
from torch import distributed, multiprocessing, nn

from plica.errors import SettingsError, UnusablePixels
from plica.networks.adapters import adapt
from plica.networks.discriminator import (
    NORMALISATIONS,
    BatchNormalisation,
    PatchDiscriminator,
    adaptive_weight,
    hinge_discriminator,
    last_kernel,
)
from plica.networks.kl import KlAutoencoder


def test_keys_and_shapes_are_the_published_ones():
    state = PatchDiscriminator(in_channels=3).state_dict()
    kernels = {key: tuple(value.shape) for key, value in state.items() if value.ndim == 4}

    assert kernels == {
        "main.0.weight": (64, 3, 4, 4),
        "main.2.weight": (128, 64, 4, 4),
        "main.5.weight": (256, 128, 4, 4),
        "main.8.weight": (512, 256, 4, 4),
        "main.11.weight": (1, 512, 4, 4),
    }
    # Where batch normalisation shifts anyway, a bias would be idle.
    assert [key for key in state if key.endswith("bias")] == [
        *("main.0.bias", "main.3.bias", "main.6.bias", "main.9.bias", "main.11.bias")
    ]


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_a_patch(layers, field):
    network = PatchDiscriminator(in_channels=1, width=4, layers=layers, normalisation="none")
    x = torch.zeros(1, 1, 128, 128, requires_grad=True)
    logits = network(x)
    middle = logits.shape[2] // 2
    logits[0, 0, middle, middle].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()

    assert int(rows[-1] - rows[0]) + 1 == field


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_least_side_is_the_least_that_runs(layers):
    network = PatchDiscriminator(in_channels=1, width=4, layers=layers).eval()
    side = network.least_side

    assert network(torch.zeros(1, 1, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises(UnusablePixels, match=f"at least {side}"):
        network(torch.zeros(1, 1, side, side - 1))
    network.least_side = 1
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 1, side, side - 1))


def test_another_number_of_channels_is_refused():
    with pytest.raises(UnusablePixels, match="1 channels"):
        PatchDiscriminator(in_channels=1)(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_first_weights_are_small_and_come_from_the_generator(kind):
    twins = [
        PatchDiscriminator(
            in_channels=1, normalisation=kind, generator=torch.Generator().manual_seed(3)
        )
        for _ in range(2)
    ]
    one, other = (network.state_dict() for network in twins)

    assert all(torch.equal(one[key], other[key]) for key in one)
    kernel = one["main.2.weight"]
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    assert kernel.mean().abs() < 1e-3
    assert one["main.0.bias"].abs().max() == 0


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(SettingsError, match="batch, group, none"):
        PatchDiscriminator(in_channels=1, normalisation="layer")


# -- losses --------------------------------------------------------------------------------------


def test_the_hinge_is_flat_beyond_its_margin():
    sure, wrong = torch.full((2, 1, 3, 3), 1.5), torch.full((2, 1, 3, 3), -0.5)

    assert hinge_discriminator(sure, -sure) == 0
    assert hinge_discriminator(wrong, -wrong) == pytest.approx(1.5)


def test_the_adaptive_weight_is_the_ratio_of_the_gradients():
    w = torch.tensor([3.0, 4.0], requires_grad=True)

    weight = adaptive_weight(2 * (w * w).sum(), (5 * w).sum(), w)

    assert weight == pytest.approx(20 / 50**0.5, rel=1e-4)
    assert not weight.requires_grad


def test_the_adaptive_weight_is_bounded():
    w = torch.ones(2, requires_grad=True)

    assert adaptive_weight(1e9 * w.sum(), 0 * w.sum(), w) == 1e4


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (None, "decoder.conv_out.weight"),
        ("blocks", "decoder.up.0.block.2.conv2.lora_up.weight"),
        ("all", "decoder.conv_out.lora_up.weight"),
    ],
)
def test_the_last_trained_kernel_is_next_to_the_image(scope, expected):
    network = KlAutoencoder(
        dims=2, in_channels=1, code_channels=1, widths=(32, 32), projection=True
    )
    if scope:
        adapt(network, rank=2, scope=scope)
    found = last_kernel(network)

    assert [name for name, one in network.named_parameters() if one is found] == [expected]
    x = make_input("last", (1, 1, 8, 8))
    y = network.decode(network.encode(x))
    assert adaptive_weight((y - x).abs().mean(), -y.mean(), found) >= 0


def test_a_frozen_network_has_no_last_kernel():
    with pytest.raises(SettingsError, match="no kernel"):
        last_kernel(nn.Conv2d(1, 1, 1).requires_grad_(False))


# -- one batch over several processes ------------------------------------------------------------


def test_alone_it_is_pytorch_batch_normalisation():
    ours, theirs = BatchNormalisation(4), nn.BatchNorm2d(4)
    x = make_input("norm", (3, 4, 5, 5))

    for network in (ours, theirs):
        network.load_state_dict(make_state(ours) | {"running_var": torch.ones(4)}, strict=False)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def make_discriminator() -> PatchDiscriminator:
    return PatchDiscriminator(
        in_channels=1, width=4, layers=1, generator=torch.Generator().manual_seed(1)
    )


def learn(network: PatchDiscriminator, x: torch.Tensor, y: torch.Tensor) -> dict:
    """Gradients of the mean loss over a batch, as the mean over equal shares of it would be."""
    x = x.clone().requires_grad_()
    loss = hinge_discriminator(network(x), network(y)) + network(x).square().mean()
    loss.backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    found |= {name: b.double() for name, b in network.named_buffers()}
    return found | {"loss": loss.detach(), "x": x.grad}


def learn_in_a_process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    x, y = (make_input(name, (4, 1, 16, 16)).chunk(world)[rank] for name in ("true", "made"))
    found = learn(make_discriminator(), x, y)
    torch.save(found, os.path.join(folder, f"{rank}.pt"))  # noqa: PTH118  # a string from spawn
    distributed.destroy_process_group()
    # Now and then the interpreter's end finds a thread of gloo's that has not gone, and aborts.
    os._exit(0)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_on_the_whole_batch(tmp_path):
    whole = learn(make_discriminator(), *(make_input(n, (4, 1, 16, 16)) for n in ("true", "made")))

    multiprocessing.spawn(learn_in_a_process, args=(2, str(tmp_path)), nprocs=2)

    shares = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in whole:
        if name == "x":  # of the sum of the shares' mean losses, which is twice the whole's
            found = torch.cat([share[name] for share in shares]) / 2
        elif "running" in name or "tracked" in name:
            assert torch.equal(shares[0][name], shares[1][name])
            found = shares[0][name]
        else:
            found = (shares[0][name] + shares[1][name]) / 2
        torch.testing.assert_close(found, whole[name], rtol=1e-4, atol=1e-7, msg=name)


def test_a_copy_keeps_its_weights():
    network = make_discriminator()
    x = make_input("copy", (2, 1, 16, 16))

    assert torch.equal(copy.deepcopy(network)(x), network(x))
