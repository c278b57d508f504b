"""DC-AE is the library's own, also after its statistics of training are fixed."""

import pytest
import torch
from tests.networks import framed

from plica.networks.autoencoder import Autoencoder, Sampling
from plica.networks.dcae import DeepCompression

diffusers = pytest.importorskip("diffusers")
WIDTHS, BLOCKS, DECODER_BLOCKS = (32, 32, 64, 64, 64, 128), (0, 1, 2, 1, 1, 1), (0, 1, 1, 1, 2, 1)


@pytest.fixture(scope="module")
def pair():
    ours = DeepCompression(
        code_channels=32, widths=WIDTHS, blocks=BLOCKS, decoder_blocks=DECODER_BLOCKS
    )
    kinds = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
    theirs = diffusers.AutoencoderDC(
        latent_channels=32,
        encoder_block_types=kinds,
        decoder_block_types=kinds,
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        encoder_layers_per_block=BLOCKS,
        decoder_layers_per_block=DECODER_BLOCKS,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        decoder_norm_types=("batch_norm",) * 3 + ("rms_norm",) * 3,
        decoder_act_fns=("relu",) * 3 + ("silu",) * 3,
    )
    framed.fill(ours).float()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in ours.named_buffers():
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + name.endswith("var"))
    missing = theirs.eval().load_state_dict(ours.state_dict(), strict=False)
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    assert not missing.unexpected_keys
    return ours, theirs


@pytest.mark.parametrize("sides", [(32, 32), (64, 96), (256, 192)])
@torch.no_grad()
def test_the_library_gives_the_same(pair, sides):
    ours, theirs = pair
    x = framed.make_frames(3, 1, *sides)[:, :, 0].float()
    z = theirs.encode(x).latent

    assert z.shape == (1, 32, sides[0] // 32, sides[1] // 32)
    assert framed.differ(ours.encode(x), z) < 1e-5
    assert framed.differ(ours.decode(z), theirs.decode(z).sample) < 1e-5


def test_it_is_an_autoencoder_without_a_posterior(pair):
    ours, _ = pair

    assert isinstance(ours, Autoencoder)
    assert not isinstance(ours, Sampling)
    assert (ours.dims, ours.factor, ours.code_channels) == (2, 32, 32)
    assert all(value.is_floating_point() for value in ours.state_dict().values())


@torch.no_grad()
def test_attention_lets_every_code_see_the_whole_picture(pair):
    """Which is why there are no tiles of it."""
    ours, _ = pair
    x = framed.make_frames(3, 1, 64, 512)[:, :, 0].float()
    other = x.clone()
    other[..., 480:] *= -1

    assert not torch.equal(ours.encode(x)[..., 0], ours.encode(other)[..., 0])
