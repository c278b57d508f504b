"""Pictures: slices of volumes are seen as they lie, each once; their term is a mean over them."""

import numpy as np
import pytest
import torch
from tests.training.small import squared_distance

from plica.training.pictures import choose_cuts, count_pictures, mean_over_pictures, pictures


def make_volumes(shape=(2, 1, 4, 6, 8)):
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for _ in range(2))
    return x, y


def list_slices(x, axes):
    """Every slice across the axes, by numpy."""
    for axis in axes:
        moved = np.moveaxis(x.numpy(), axis + 2, 1)
        yield from moved.reshape(-1, *moved.shape[2:])


def test_pictures_are_seen_whole():
    assert choose_cuts((8, 8), (1, 2), axes=(0, 1, 2), share=0.5) == ()
    x = torch.randn(3, 1, 8, 8)
    seen = [xs for xs, _ in pictures(x, x, (), most=128)]

    assert [len(one) for one in seen] == [2, 1]
    assert [len(one) for one, _ in pictures(x, x, (), side=11, most=242)] == [2, 1]
    assert torch.equal(torch.cat(seen), x)


@pytest.mark.parametrize("most", [1, 50, 100, 10**9])
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1, 2)])
def test_every_slice_across_the_axes_is_seen_once(axes, most):
    x, y = make_volumes()
    cuts = choose_cuts((4, 6, 8), (1, 2), axes=axes, share=1.0)
    seen = [
        (one, two)
        for xs, ys in pictures(x, y, cuts, most=most)
        for one, two in zip(xs, ys, strict=True)
    ]
    key = lambda pair: pair[0].tobytes()  # noqa: E731
    expected = sorted(zip(list_slices(x, axes), list_slices(y, axes), strict=True), key=key)

    assert len(seen) == count_pictures(x, cuts) == 2 * sum((4, 6, 8)[axis] for axis in axes)
    for (a, b), (c, d) in zip(
        sorted(((a.numpy(), b.numpy()) for a, b in seen), key=key), expected, strict=True
    ):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_no_more_pixels_are_seen_at_a_time_than_asked_for():
    x, y = make_volumes((4, 1, 8, 8, 8))
    cuts = choose_cuts((8, 8, 8), (1, 2, 3, 4), axes=(0, 1, 2), share=1.0)

    assert max(xs.numel() for xs, _ in pictures(x, y, cuts, most=200)) <= 200


def test_a_share_of_the_slices_is_drawn_from_each_patchs_own_seed():
    one = choose_cuts((16, 16, 16), (5, 6), axes=(0, 2), share=0.25)
    other = choose_cuts((16, 16, 16), (6,), axes=(0, 2), share=0.25)

    assert [cut.numbers.shape for cut in one] == [(2, 4), (2, 4)]
    for first, second in zip(one, other, strict=True):
        assert torch.equal(first.numbers[1], second.numbers[0])
        assert all(len(set(row)) == 4 for row in first.numbers.tolist())
    assert not torch.equal(one[0].numbers[0], one[0].numbers[1])
    assert choose_cuts((4, 4, 4), (1,), axes=(1,), share=0.01)[0].numbers.shape == (1, 1)


def test_the_term_is_the_mean_over_the_slices_of_all_axes():
    x, y = make_volumes()
    cuts = choose_cuts((4, 6, 8), (1, 2), axes=(0, 1, 2), share=1.0)
    expected = np.mean(
        [
            np.mean((a - b) ** 2) + 0.1 * np.abs(a - b).max()
            for a, b in zip(list_slices(x, (0, 1, 2)), list_slices(y, (0, 1, 2)), strict=True)
        ]
    )

    assert float(mean_over_pictures(squared_distance, x, y, cuts)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_the_gradient_is_that_of_the_whole_computed_at_once():
    x, start = make_volumes()
    cuts = choose_cuts((4, 6, 8), (1, 2), axes=(0, 2), share=0.5)
    one, other = (start.clone().requires_grad_() for _ in range(2))
    value = mean_over_pictures(squared_distance, x, 2 * one, cuts, most=60)
    (3 * value).backward()
    parts = [squared_distance(cut.of(x), cut.of(2 * other)) for cut in cuts]
    expected = torch.cat(parts).mean()
    (3 * expected).backward()

    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(one.grad, other.grad)


def test_the_gradient_may_be_asked_for_again():
    x, y = make_volumes()
    y.requires_grad_()
    value = mean_over_pictures(squared_distance, x, y, ())
    first, again = (torch.autograd.grad(value, y, retain_graph=True)[0] for _ in range(2))

    assert torch.equal(first, again)


def test_without_a_gradient_only_the_value_is_computed():
    x, y = make_volumes()

    assert not mean_over_pictures(squared_distance, x, y, ()).requires_grad
