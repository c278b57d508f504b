"""What a network breaks of the contract of autoencoders is said in a sentence."""

import pytest
import torch
from torch import nn

from plica.networks.contract import find_breach
from plica.networks.linear import Linear


class Folding(nn.Module):
    """Pixels become channels and back; each of its parts can be made wrong."""

    def __init__(self, dims=2, *, encode=None, decode=None):
        super().__init__()
        self.dims, self.factor, self.in_channels, self.code_channels = dims, 2, 1, 4
        self._encode, self._decode = encode, decode

    def encode(self, x):
        return self._encode(x) if self._encode else nn.functional.pixel_unshuffle(x, 2)

    def decode(self, z):
        return self._decode(z) if self._decode else nn.functional.pixel_shuffle(z, 2)


def raise_mistake(_):
    raise KeyError("norm")


@pytest.mark.parametrize(
    ("network", "breach"),
    [
        (Folding(), ""),
        (nn.Identity(), "it has no dims, factor, in_channels, code_channels, encode, decode (see"),
        (Folding(dims=4), "its dims is 4, and not 2 or 3"),
        (Folding(dims=0), "its dims is 0, and not a whole number of 1 or more"),
        (Folding(dims=True), "its dims is True, and not a whole number"),
        (Folding(encode=lambda x: (x, x)), "its encode gives tuple, and not a tensor"),
        (Folding(decode=lambda z: None), "its decode gives NoneType, and not a tensor"),
        (Folding(encode=lambda x: x), "its encode makes (1, 1, 4, 4) of (1, 1, 4, 4), and not (1"),
        (Folding(decode=raise_mistake), "its decode fails on an image of (1, 1, 4, 4): KeyError"),
    ],
)  # fmt: skip
def test_a_breach_is_named(network, breach):
    found = find_breach(network)
    assert found.startswith(breach) if breach else found == ""


def test_chance_and_mode_are_as_before():
    network = Folding(encode=lambda x: torch.rand(1, 4, 2, 2)).train()
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)

    assert find_breach(network) == ""
    assert network.training
    assert torch.equal(torch.rand(1), drawn)
    assert find_breach(Linear(dims=3, factor=4, channels=2)) == ""
