"""A latent knows where its codes lie, and how to get back."""

import numpy as np
import pytest

from plica.errors import LatentError
from plica.grid import Grid
from plica.latent import CodecIdentity, Latent, Record, Trail

PREPARED = Grid((16, 12, 8), np.diag([-0.5, -0.5, 2.0, 1.0]))
CODEC = CodecIdentity("test-4x2-3d", "sha256:0")


def latent_of(shape=(2, 4, 3, 2), **options):
    codes = np.zeros(shape, options.pop("dtype", np.float32))
    return Latent(codes, CODEC, PREPARED, (4, 4, 4), PREPARED, **options)


def test_codes_lie_on_the_prepared_grid_made_coarser():
    latent = latent_of()

    assert latent.grid == PREPARED.coarser((4, 4, 4))
    assert latent.grid.to_world((0, 0, 0)) == pytest.approx((-0.75, -0.75, 3.0))


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 4, 3, 3), (2, 16, 12, 8)])
def test_codes_of_another_shape_are_refused(shape):
    with pytest.raises(LatentError):
        latent_of(shape)


def test_a_factor_that_does_not_divide_is_refused():
    with pytest.raises(LatentError):
        Latent(np.zeros((1, 3, 2, 1), np.float32), CODEC, PREPARED, (5, 5, 5), PREPARED)


def test_a_bitstream_is_bytes_of_any_length():
    latent = latent_of((1, 77, 1, 1), kind="bitstream", dtype=np.uint8)

    assert latent.codes.nbytes == 77


def test_other_codes_keep_the_way_back():
    latent = latent_of(trail=Trail((Record("pad"),)))

    other = latent.with_codes(latent.codes + 1, stored={"dtype": "int8"})

    assert other.trail is latent.trail
    assert other.stored == {"dtype": "int8"}
    assert latent.stored == {}


def test_a_trail_is_added_to_at_its_end_and_tells_its_losses():
    first = Trail().after(Record("window", {"low": -1000}, {"clipped_fraction": 0.002}))
    both = first.after(Record("pad", {"before": [0, 0, 0]}))

    assert [record.step for record in both.records] == ["window", "pad"]
    assert len(first.records) == 1
    assert both.losses == {"window": {"clipped_fraction": 0.002}}


def test_losses_of_a_step_done_twice_are_both_told():
    trail = Trail((Record("window", {}, {"clipped": 1}), Record("window", {}, {"clipped": 2})))

    assert len(trail.losses) == 2


def test_a_latent_says_what_it_is_in_one_line():
    said = repr(latent_of())
    assert said.startswith("Latent(2×4×3×2 float32, raw, of test-4x2-3d, relative, source=Grid(16×")
    assert "\n" not in said
