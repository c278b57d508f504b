"""The receptive field on the cards is the one the convolutions have."""

import pytest
import torch

from plica.networks.coders import Encoder
from plica.networks.field import receptive_field


@pytest.mark.parametrize(("levels", "blocks"), [(1, 1), (2, 1), (2, 2), (3, 1)])
def test_the_formula_is_what_a_gradient_reaches(levels, blocks):
    encoder = Encoder(
        dims=2, in_channels=1, out_channels=1, widths=(32,) * levels, blocks=blocks
    ).double()
    for module in encoder.modules():
        for name, child in list(module.named_children()):
            # What sees the whole map is taken away; all weights are positive, so nothing cancels.
            if isinstance(child, torch.nn.GroupNorm) or name == "attn_1":
                setattr(module, name, torch.nn.Identity())
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(0.01)
    field = receptive_field(levels=levels, blocks=blocks)
    side = 2 * (field // 16 + 1) * 16
    x = torch.zeros(1, 1, side, 16, dtype=torch.float64, requires_grad=True)

    z = encoder(x)
    z[0, 0, z.shape[2] // 2, 4 // 2 ** (levels - 1)].backward()

    reached = x.grad[0, 0].abs().sum(1).nonzero()
    assert int(reached[-1] - reached[0]) + 1 == field
