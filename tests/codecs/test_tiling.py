"""Tiles give the very result; windows start on the stride, cover everything, and blend to it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.networks.compacts import SIZES, make
from torch.nn import functional as F

from plica.codecs.tiling import (
    choose_window,
    place_windows,
    plan_tiles,
    run_in_blocks,
    run_in_tiles,
    run_in_windows,
)  # fmt: skip
from plica.networks.autoencoder import Local, Pass
from plica.networks.compact import Compact
from plica.networks.interpolation import Interpolation
from plica.networks.linear import Linear


def _mean_of_cells(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool3d(x, 4)


def _repeat_cells(z: torch.Tensor) -> torch.Tensor:
    return F.interpolate(z, scale_factor=4, mode="nearest")


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 6))
def test_windows_of_a_local_network_give_its_whole_result(cells, window_cells):
    x = torch.rand(1, 1, *[4 * side for side in cells])
    window = tuple(4 * min(side, window_cells) for side in cells)

    windowed = run_in_windows(_mean_of_cells, x.numpy(), window=window, factor=4)

    np.testing.assert_allclose(windowed, _mean_of_cells(x), rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 6))
def test_windows_of_codes_decode_to_the_whole_result(cells, window_cells):
    z = torch.rand(1, 1, *cells)
    window = tuple(min(side, window_cells) for side in cells)

    windowed = run_in_windows(_repeat_cells, z.numpy(), window=window, factor=1 / 4)

    np.testing.assert_allclose(windowed, _repeat_cells(z), rtol=1e-5)


SIZES_OF_IMAGES = range(16, 1025, 16)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("limit", [160, 96])
def test_windows_of_all_sizes_lie_on_the_stride_and_cover_every_voxel(stride, limit):
    for side in SIZES_OF_IMAGES:
        length = choose_window(side, limit, stride)
        spans = place_windows(side, length, stride)

        assert length <= max(limit, stride)
        ends = [end for span in spans for end in (span.start, span.stop)]
        assert all(end % stride == 0 for end in ends), side
        covered = np.zeros(side, int)
        for span in spans:
            assert span.stop - span.start == length
            covered[span] += 1
        assert covered.min() >= 1, side
        # The same windows of codes, for decoding: on whole codes, and enlarged the same places.
        codes = place_windows(side // stride, length // stride, 1)
        assert codes[0].start == 0
        assert codes[-1].stop == side // stride


def test_published_windows_would_fail_this_test():
    """So it can fail: three quarters of a half, rounded down, for 41 and 48 of 54 sizes."""
    for stride, many in ((4, 41), (8, 48)):
        off = 0
        for side in range(176, 1025, 16):
            length = side
            while length >= 160:
                length //= 2
            starts = [*range(0, side - length, int(length * 0.75)), side - length]
            off += any(start % stride for start in starts) or length % stride > 0
        assert off == many


@pytest.mark.parametrize("decoding", [False, True])
@pytest.mark.parametrize("stride", [4, 8])
def test_a_landmark_and_a_ramp_keep_their_place_in_windows_of_all_sizes(stride, decoding):
    """A window shifted by a single voxel would move the landmark's code, or bend the ramp."""
    generator = np.random.default_rng(stride)

    def shrink(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool1d(x, stride)

    def enlarge(z: torch.Tensor) -> torch.Tensor:
        return F.interpolate(z, scale_factor=stride, mode="nearest")

    for side in SIZES_OF_IMAGES:
        length = choose_window(side, 160, stride)
        cells = side // stride
        x = np.arange(cells if decoding else side, dtype=np.float32)[None, None]
        mark = int(generator.integers(x.shape[-1]))
        x[..., mark] += 1e4
        function, window, factor = (
            (enlarge, length // stride, 1 / stride) if decoding else (shrink, length, stride)
        )

        windowed = run_in_windows(function, x, window=(window,), factor=factor)

        expected = function(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(windowed, expected, rtol=1e-5, err_msg=str(side))


def test_a_window_never_exceeds_its_side():
    seen = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[2:]))
        return _mean_of_cells(x)

    run_in_windows(watch, np.zeros((1, 1, 40, 16, 24), np.float32), window=(16, 16, 16), factor=4)

    assert {max(sides) for sides in seen} == {16}


# -- exact tiles -------------------------------------------------------------------------------


def _make_linear() -> Linear:
    network = Linear(dims=2, factor=4, channels=3)
    generator = torch.Generator().manual_seed(0)
    for buffer in network.buffers():
        buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return network


NETWORKS = {
    **{name: make(size) for name, size in SIZES.items()},
    "linear": _make_linear(),
    **{
        kernel: Interpolation(kernel=kernel, dims=3, factor=4)
        for kernel in ("nearest", "area", "bilinear", "bicubic", "lanczos")
    },
}


def _draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@torch.inference_mode()
def _compare(network: Local, cells: tuple[int, ...], tile: tuple[int, ...], *, decoding: bool):
    """The greatest difference of tiles from the whole, over the whole's deviation."""
    factor, dims = network.factor, network.dims
    if decoding:
        x = _draw(1, 2, network.code_channels, *cells[:dims])
        function, halo, ratio = network.decode, network.decoder_reach, 1 / factor
        tile = tuple(-(-side // factor) for side in tile)
    else:
        x = _draw(1, 2, 1, *(factor * side for side in cells[:dims]))
        function, halo, ratio = network.encode, network.encoder_reach * factor, factor
    whole = function(torch.from_numpy(x)).numpy()

    tiled = run_in_tiles(Pass(function, halo, ratio, 1), x, tile=tile[:dims])

    assert tiled.shape == whole.shape
    return np.abs(tiled - whole).max() / whole.std()


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    cells=st.tuples(*[st.integers(1, 11)] * 3),
    tile=st.tuples(*[st.integers(1, 70)] * 3),
    decoding=st.booleans(),
)
def test_tiles_of_any_size_give_the_result_of_the_whole(name, cells, tile, decoding):
    assert _compare(NETWORKS[name], cells, tile, decoding=decoding) < 1e-5


@pytest.mark.parametrize("decoding", [False, True])
def test_a_halo_one_code_narrower_would_show(decoding):
    """So the declared reach is not merely large enough: the test of tiles can fail."""
    network = NETWORKS["one grid, 2D"]

    class Narrower:
        factor, dims, code_channels = network.factor, network.dims, network.code_channels
        encode, decode = network.encode, network.decode
        encoder_reach, decoder_reach = network.encoder_reach - 1, network.decoder_reach - 1

    double = network.double()
    try:
        assert _compare(double, (24, 3), (24, 12), decoding=decoding) < 1e-5
        assert _compare(Narrower, (24, 3), (24, 12), decoding=decoding) > 1e-9
    finally:
        network.float()


def test_tiles_hold_no_more_than_themselves_and_their_halo():
    seen = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[2:]))
        return _mean_of_cells(x)

    run_in_tiles(Pass(watch, 4, 4, 1), _draw(0, 1, 1, 40, 16, 24), tile=(16, 16, 9))

    assert max(seen) == (24, 16, 16)  # a tile of 9 is one of 8
    assert len(seen) == 3 * 1 * 3


def test_every_tile_is_told_of_once():
    told = []
    x = _draw(0, 2, 1, 40, 16, 24)

    run_in_tiles(Pass(_mean_of_cells, 0, 4, 1), x, tile=(16,) * 3, advance=told.append)

    assert len(told) == 6
    assert sum(told) == x.size


@settings(max_examples=50, deadline=None)
@given(
    sides=st.tuples(*[st.integers(1, 12)] * 3),
    halo=st.integers(0, 8),
    most=st.integers(1, 50_000),
)
def test_planned_tiles_keep_the_limit_or_are_as_small_as_can_be(sides, halo, most):
    stride = 4
    sides = tuple(stride * side for side in sides)
    tile = plan_tiles(sides, halo=halo * stride, stride=stride, most_voxels=most)

    seen = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        seen.append(x[0, 0].numel())
        return x[..., ::stride, ::stride, ::stride]

    x = np.zeros((1, 1, *sides), np.float32)
    run_in_tiles(Pass(watch, halo * stride, stride, 1), x, tile=tile)
    assert max(seen) <= most or max(tile) == stride
    assert all(one % stride == 0 and 0 < one <= side for one, side in zip(tile, sides, strict=True))


@pytest.mark.parametrize(
    ("most", "tile"),
    [(6e7, (512, 512, 200)), (3.2e7, (256, 512, 200)), (2e7, (256, 256, 200)), (1, (4, 4, 4))],
)
def test_tiles_are_cut_where_it_helps_most(most, tile):
    assert plan_tiles((512, 512, 200), halo=48, stride=4, most_voxels=most) == tile


@pytest.mark.slow
def test_a_deep_network_keeps_its_tiles_to_rounding():
    """Depth of the packaged codecs, weights of a trained one's size."""
    network = make(
        {"dims": 2, "factor": 4, "code_channels": 3, "encoder": (4, 64, 6),
         "decoder": (4, 64, 6, 2, 48, 3)}
    )  # fmt: skip
    assert isinstance(network, Compact)
    for decoding in (False, True):
        assert _compare(network, (60, 44), (64, 64), decoding=decoding) < 1e-5


@settings(max_examples=15, deadline=None)
@given(
    cells=st.tuples(*[st.integers(1, 9)] * 3),
    block=st.tuples(*[st.integers(1, 9)] * 3),
    tile=st.integers(1, 9),
)
def test_two_passes_in_blocks_give_the_result_of_the_whole(cells, block, tile):
    network = NETWORKS["finer decoder, 3D"]
    first, second = network.decoding_passes()
    z = _draw(3, 1, network.code_channels, *cells)

    with torch.inference_mode():
        whole = network.decode(torch.from_numpy(z)).numpy()
        told = []
        result = run_in_blocks(
            (first, second), z, block=block, tiles=((tile,) * 3, (tile,) * 3), advance=told.append
        )

    assert np.abs(result - whole).max() < 1e-5 * whole.std()
    assert sum(told) == pytest.approx(z.size)


def test_windows_of_a_side_that_is_no_multiple_of_the_factor_are_refused():
    with pytest.raises(ValueError, match="13 voxels are no multiple of the factor 4"):
        run_in_windows(_mean_of_cells, np.zeros((1, 1, 16, 8, 13)), window=(8, 8, 8), factor=4)
