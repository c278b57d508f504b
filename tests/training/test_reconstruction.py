"""Each term of the reconstruction objective is what the papers write, and goes where it should."""

import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.networks.made import make_state
from tests.training import sharing
from tests.training.processes import TWO, walk
from tests.training.small import Critic, make_batch, make_kl, squared_distance
from torch import nn

from plica.errors import SettingsError
from plica.grid import Grid
from plica.image import Image
from plica.metrics.metric import measure
from plica.networks.linear import Linear
from plica.networks.perceptual import Perceptual
from plica.networks.vision import VisionTower
from plica.networks.vq import VqAutoencoder
from plica.training.adversary import Opponent
from plica.training.latents import decode, draw
from plica.training.objective import Batch, Objective
from plica.training.recipe import Adversary, Reconstruction
from plica.training.reconstruction import (
    ReconstructionObjective,
    compare,
    last_layer,
    reconstruct,
)


def make_tower() -> VisionTower:
    tower = VisionTower(side=16, patch=8, width=16, depth=1, heads=2, embedding=8)
    tower.load_state_dict(make_state(tower))
    return tower


def make_objective(network=None, **settings) -> ReconstructionObjective:
    settings = Reconstruction(**settings)
    return ReconstructionObjective(
        settings,
        make_kl() if network is None else network,
        perceptual=squared_distance if settings.perceptual else None,
        tower=make_tower() if settings.embedding else None,
        opponent=Opponent(Critic()) if settings.adversary.weight else None,
    )


def test_a_network_that_has_a_closed_form_or_trains_nothing_is_refused():
    with pytest.raises(SettingsError, match=r"Linear has no parameters.*closed form"):
        make_objective(Linear(dims=2, factor=4, channels=1))
    with pytest.raises(SettingsError, match=r"no parameter that is trained: see start\.train"):
        make_objective(make_kl().requires_grad_(requires_grad=False))


def run(network, batch):
    """x and x̂ as numpy, as the objective sees them."""
    with torch.no_grad():
        y = decode(network, draw(network, batch.x, batch.seeds).z)
    return batch.x.numpy().astype(np.float64), y.numpy().astype(np.float64)


def value(objective, name, batch, step=0, player="codec"):
    return float(objective.terms(player, batch, step).parts[name].detach())


def test_it_is_an_objective():
    assert isinstance(make_objective(), Objective)


# -- terms by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("settings", "by_hand"),
    [
        ({"pixel": "l1"}, lambda e: np.abs(e).mean()),
        ({"pixel": "l2"}, lambda e: (e**2).mean()),
        ({"pixel": "l1", "reduction": "sum"}, lambda e: np.abs(e).sum() / len(e)),
        ({"pixel": "l2", "reduction": "sum"}, lambda e: (e**2).sum() / len(e)),
        ({"pixel": "psnr"}, lambda e: np.log10((e**2).reshape(len(e), -1).mean(1)).mean()),
        ({"pixel": "l1", "pixel_weight": 2.5}, lambda e: 2.5 * np.abs(e).mean()),
    ],
)
def test_the_pixel_term_is_as_by_hand(settings, by_hand, dims):
    network, batch = make_kl(dims), make_batch((3, 1, *[8] * dims))
    x, y = run(network, batch)

    found = value(make_objective(network, **settings), "pixel", batch)
    assert found == pytest.approx(by_hand(y - x), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_kl_term_is_the_closed_form(reduction):
    network, batch = make_kl(), make_batch()
    with torch.no_grad():
        mean, logvar = (one.double() for one in network.posterior(batch.x))
    each = 0.5 * (mean**2 + logvar.exp() - 1 - logvar)
    expected = each.mean() if reduction == "mean" else each.sum() / len(batch.x)

    found = value(make_objective(network, kl=0.01, reduction=reduction), "kl", batch)
    assert found == pytest.approx(0.01 * float(expected), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_perceptual_term_counts_once_for_each_voxel_of_a_sum(reduction):
    network, batch = make_kl(), make_batch()
    x, y = run(network, batch)
    e = (y - x).reshape(len(x), -1)
    distance = ((e**2).mean(1) + 0.1 * np.abs(e).max(1)).mean()

    found = value(make_objective(network, perceptual=0.5, reduction=reduction), "perceptual", batch)
    assert found == pytest.approx(0.5 * distance * (256 if reduction == "sum" else 1), rel=1e-4)


def test_sums_are_those_of_the_published_program():
    """|x − x̂| + LPIPS, broadcast over the map of errors, summed, divided by the batch."""
    network, batch = make_kl(in_channels=3), make_batch((2, 3, 16, 16))
    x, y = (torch.from_numpy(side) for side in run(network, batch))
    map_of_errors = (x - y).abs() + squared_distance(x, y)[:, None, None, None]
    terms = make_objective(network, perceptual=1.0, reduction="sum").terms("codec", batch, 0)

    assert float(terms.total.detach()) == pytest.approx(float(map_of_errors.sum() / 2), rel=1e-4)


def test_the_embedding_term_is_the_squared_distance_of_clamped_pictures():
    network, batch = make_kl(), make_batch()
    tower = make_tower()
    with torch.no_grad():
        network.decoder.conv_out.bias += 1  # so that there is something to clamp
        y = decode(network, draw(network, batch.x, batch.seeds).z)
        expected = (tower.embed(batch.x) - tower.embed(y.clamp(-1, 1))).square().sum(1).mean()
    assert (y > 1).any()

    found = value(make_objective(network, embedding=100.0), "embedding", batch)
    assert found == pytest.approx(100 * float(expected), rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_codebook_term_is_as_by_hand(reduction):
    torch.manual_seed(0)
    network = VqAutoencoder(
        dims=2, in_channels=1, code_channels=2, codebook=8, widths=(32, 32), blocks=1
    )
    batch = make_batch()
    with torch.no_grad():
        h = network.continuous(batch.x).numpy()
        table = network.quantize.embedding.weight.numpy()
    tokens = np.moveaxis(h, 1, -1).reshape(-1, 2)
    squares = ((tokens[:, None] - table) ** 2).sum(-1)
    expected = 1.3 * squares.min(1).sum() / 3 / (1 if reduction == "sum" else h[0].size)
    objective = make_objective(network, codebook=1.0, commitment=0.3, reduction=reduction)
    terms = objective.terms("codec", batch, 0)

    assert float(terms.parts["codebook"].detach()) == pytest.approx(float(expected), rel=1e-4)
    assert terms.facts["codebook_usage"] == len(set(squares.argmin(1))) / 8
    terms.total.backward()
    assert network.encoder.conv_in.weight.grad.abs().sum() > 0  # past the look-up
    assert network.quantize.embedding.weight.grad.abs().sum() > 0


def test_terms_that_are_not_asked_for_are_not_there():
    assert set(make_objective().terms("codec", make_batch(), 0).parts) == {"pixel"}


def test_slices_across_the_chosen_axes_are_averaged():
    network, batch = make_kl(3), make_batch((2, 1, 4, 6, 8))
    x, y = run(network, batch)
    distances = []
    for axis in (0, 2):
        for one, two in zip(np.moveaxis(x, axis + 2, 1), np.moveaxis(y, axis + 2, 1), strict=True):
            distances += [
                np.mean((a - b) ** 2) + 0.1 * np.abs(a - b).max()
                for a, b in zip(one, two, strict=True)
            ]

    objective = make_objective(network, perceptual=1.0, slices=(0, 2))
    assert value(objective, "perceptual", batch) == pytest.approx(np.mean(distances), rel=1e-4)


# -- the adversary -------------------------------------------------------------------------------

ADVERSARY = Adversary(weight=0.5, start=10, adaptive=True)


def test_the_adversarial_term_is_weighed_against_the_reconstruction():
    objective = make_objective(perceptual=1.0, adversary=ADVERSARY)
    batch = make_batch()
    terms = objective.terms("codec", batch, 10)
    last = objective.network.decoder.conv_out.weight
    reconstruction = terms.parts["pixel"] + terms.parts["perceptual"]
    pulls = [
        torch.autograd.grad(term, last, retain_graph=True)[0].norm()
        for term in (reconstruction, terms.parts["adversarial"])
    ]
    # with λ in it, the term pulls as hard as the reconstruction does, times its weight
    assert float(pulls[1]) == pytest.approx(0.5 * float(pulls[0]), rel=2e-2)
    critic = copy.deepcopy(objective.modules()["discriminator"]).train()
    y = decode(objective.network, draw(objective.network, batch.x, batch.seeds).z)
    expected = -0.5 * float(terms.facts["adaptive_weight"]) * float(critic(y).detach().mean())
    assert float(terms.parts["adversarial"].detach()) == pytest.approx(expected, rel=1e-4)


def test_a_fixed_weight_is_taken_as_it_is():
    fixed = Adversary(weight=0.7, adaptive=False)
    terms = make_objective(adversary=fixed).terms("codec", make_batch(), 0)

    assert float(terms.facts["adaptive_weight"]) == 1


def test_a_frozen_last_layer_leaves_the_weight_as_it_is():
    network = make_kl()
    network.decoder.conv_out.requires_grad_(False)
    objective = make_objective(network, adversary=Adversary(weight=0.7))
    terms = objective.terms("codec", make_batch(), 0)

    assert float(terms.facts["adaptive_weight"]) == 1
    assert objective.probe("codec").requires_grad
    terms.total.backward()


def test_the_adversary_plays_from_its_start_step():
    objective = make_objective(adversary=ADVERSARY)

    assert objective.turns(9) == ("codec",)
    assert objective.turns(10) == ("codec", "discriminator")
    assert "adversarial" not in objective.terms("codec", make_batch(), 9).parts
    assert "adversarial" in objective.terms("codec", make_batch(), 10).parts


def test_decoder_and_discriminator_may_take_turns():
    objective = make_objective(adversary=Adversary(weight=1, start=3, alternate=True))

    assert [objective.turns(step) for step in range(3)] == [("codec",)] * 3
    assert [objective.turns(step)[0] for step in range(3, 7)] == [
        "discriminator", "codec", "discriminator", "codec"
    ]  # fmt: skip


def test_the_discriminator_minimises_the_hinge_and_reaches_no_other_parameter():
    objective = make_objective(adversary=ADVERSARY)
    batch = make_batch()
    critic = copy.deepcopy(objective.modules()["discriminator"]).train()
    x, y = (torch.from_numpy(side).float() for side in run(objective.network, batch))
    with torch.no_grad():
        expected = ((1 - critic(x)).relu().mean() + (1 + critic(y)).relu().mean()) / 2
    terms = objective.terms("discriminator", batch, 10)

    assert float(terms.parts["hinge"].detach()) == pytest.approx(float(expected), rel=1e-4)
    terms.total.backward()
    assert all(p.grad is None for p in objective.players()["codec"])
    assert all(p.grad is not None for p in objective.players()["discriminator"])


def test_the_codec_reaches_no_parameter_of_the_other_networks():
    objective = make_objective(
        perceptual=1.0, embedding=1.0, kl=1.0, adversary=Adversary(weight=1.0)
    )
    objective.terms("codec", make_batch(), 0).total.backward()

    assert all(p.grad is not None for p in objective.players()["codec"])
    assert all(p.grad is None for p in objective.players()["discriminator"])


# -- what reaches the network --------------------------------------------------------------------


def test_the_gradient_of_all_terms_is_that_of_small_steps():
    objective = make_objective(
        perceptual=1.0, kl=0.1, pixel="l2", adversary=Adversary(weight=0.5, adaptive=False)
    )
    batch = make_batch()
    parameter = objective.network.quant_conv.weight
    (found,) = torch.autograd.grad(objective.terms("codec", batch, 0).total, parameter)
    h = 1e-2  # in single precision, smaller steps drown
    with torch.no_grad():
        sides = []
        for sign in (1, -1):
            parameter[1, 2, 0, 0] += sign * h
            sides.append(float(objective.terms("codec", batch, 0).total))
            parameter[1, 2, 0, 0] -= sign * h

    assert float(found[1, 2, 0, 0]) == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=2e-2)


def test_frozen_parts_get_no_gradient():
    network = make_kl()
    network.encoder.requires_grad_(False)
    objective = make_objective(network, kl=1e-6, perceptual=1.0)
    objective.terms("codec", make_batch(), 0).total.backward()

    assert all(p.grad is None for p in network.encoder.parameters())
    assert all(p.requires_grad for p in objective.players()["codec"])


def test_a_network_of_which_nothing_is_trained_is_refused():
    with pytest.raises(SettingsError, match=r"start\.train"):
        make_objective(make_kl().requires_grad_(False))


def test_a_batch_is_the_mean_of_its_parts():
    """So that processes and accumulation compute what one process computes at once."""
    objective = make_objective(kl=0.1, perceptual=1.0, pixel="psnr")
    batch = make_batch((4, 1, 16, 16))
    whole = objective.terms("codec", batch, 0).parts
    halves = [
        objective.terms("codec", Batch(batch.x[half], batch.seeds[half]), 0).parts
        for half in (slice(0, 2), slice(2, 4))
    ]
    for name, term in whole.items():
        mean = (halves[0][name] + halves[1][name]).detach() / 2
        torch.testing.assert_close(term.detach(), mean, rtol=1e-4, atol=1e-6)


def test_the_same_batch_gives_the_same_terms():
    objective, batch = make_objective(kl=0.1), make_batch()
    torch.manual_seed(1)
    first = objective.terms("codec", batch, 0).total
    torch.manual_seed(2)

    assert torch.equal(first, objective.terms("codec", batch, 5).total)


def test_half_precision_gives_about_the_same_terms():
    objective = make_objective(
        kl=0.1, perceptual=1.0, embedding=1.0, adversary=Adversary(weight=1.0, adaptive=False)
    )
    batch = make_batch()
    exact = objective.terms("codec", batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = objective.terms("codec", batch, 0)
        learned = objective.terms("discriminator", batch, 0)
    (coarse.total + learned.total).backward()

    for name, term in exact.parts.items():
        assert coarse.parts[name].dtype == torch.float32
        found = float(coarse.parts[name].detach())
        assert found == pytest.approx(float(term.detach()), rel=0.1, abs=0.02), name
    assert all(torch.isfinite(p.grad).all() for p in objective.players()["codec"])


def test_the_real_perceptual_network_fits():
    perceptual = Perceptual(network="squeezenet")
    perceptual.load_state_dict(make_state(perceptual))
    network, batch = make_kl(), make_batch((2, 1, 32, 32))
    objective = ReconstructionObjective(
        Reconstruction(perceptual=1.0), network, perceptual=perceptual
    )
    x, y = (torch.from_numpy(side).float() for side in run(network, batch))

    expected = float(perceptual(x, y).mean())
    assert value(objective, "perceptual", batch) == pytest.approx(expected, rel=1e-3)


def test_two_processes_compute_what_one_does(tmp_path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    sharing.main(one)
    done = walk(two, command=(*TWO[:-1], "tests.training.sharing"))
    assert done.returncode == 0, done.stderr
    alone, shared = load_file(one), load_file(two)

    assert alone.keys() == shared.keys()
    for key, value in alone.items():
        torch.testing.assert_close(
            shared[key], value, rtol=2e-3, atol=2e-6, msg=lambda said, key=key: f"{key}: {said}"
        )


def test_what_is_known_exactly_has_a_finite_measure():
    x = -torch.ones(1, 1, 16, 16)
    assert compare(x, x) == {"psnr": pytest.approx(106.02, abs=0.01), "mae": 0.0, "ssim": 1.0}
    almost = x.clone()
    almost[0, 0, 0, 0] += 1e-5
    assert compare(x, almost)["psnr"] <= compare(x, x)["psnr"]


# -- facts and judgement -------------------------------------------------------------------------


def test_facts_are_numbers():
    facts = (
        make_objective(kl=1e-6, adversary=Adversary(weight=1.0))
        .terms("codec", make_batch(), 0)
        .facts
    )

    assert set(facts) == {
        "latent_deviation", "active_channels", "active_units", "divergence", "batch_psnr",
        "kl_to_reconstruction", "adaptive_weight",
    }  # fmt: skip
    assert all(math.isfinite(float(fact)) for fact in facts.values())


@pytest.mark.parametrize("shape", [(1, 1, 30, 21), (1, 1, 13, 14, 15), (1, 3, 16, 16)])
def test_a_case_is_judged_as_the_metrics_would(shape):
    network = make_kl(len(shape) - 2, in_channels=shape[1]).eval()
    x = make_batch(shape).x
    found, y = make_objective(network).judge(network, x)
    grid = Grid.from_spacing((*shape[2:], 1)[:3])
    source, decoded = (
        Image(side[0].detach().numpy().reshape(shape[1], *grid.shape), grid) for side in (x, y)
    )
    expected = measure(source, decoded, data_range=2.0)

    assert y.shape == x.shape
    assert y.abs().max() <= 1
    for name in ("psnr", "mae", "ssim"):
        assert found[name] == pytest.approx(expected[name], rel=1e-6)


def test_judging_is_deterministic():
    network = make_kl().eval()
    x = make_batch((1, 1, 16, 16)).x
    objective = make_objective(network)
    first, again = (objective.judge(network, x) for _ in range(2))

    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])
    torch.testing.assert_close(first[1], network.decode(network.encode(x)).detach().clamp(-1, 1))


def test_cells_that_are_not_whole_are_filled_from_the_border():
    class Means(nn.Module):
        factor = 4

        def encode(self, x):
            return nn.functional.avg_pool2d(x, 4)

        def decode(self, z):
            return nn.functional.interpolate(z, scale_factor=4)

    x = torch.arange(5.0).expand(1, 1, 5, 5)
    y = reconstruct(Means(), x)

    assert y.shape == x.shape
    assert y[0, 0, 0].tolist() == [1.5, 1.5, 1.5, 1.5, 4]


def test_the_last_layer_is_the_decoders():
    network = make_kl(projection=True)

    assert last_layer(network) is network.decoder.conv_out.weight
    assert make_objective(network).probe("codec") is network.decoder.conv_out.weight
