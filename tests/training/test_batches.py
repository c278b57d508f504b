"""A batch is a function of seed and step alone, and shows what was asked for, the right way up."""

import itertools
import threading

import numpy as np
import pytest
from tests.training.pictures_made import (
    make_batches,
    make_cohort,
    write_picture,
    write_table,
    write_volume,
)

from plica.cohort import Cohort
from plica.errors import InputError, SettingsError
from plica.training.recipe import Augmentation, Source

LIVELY = Augmentation(
    scale=(0.5, 1.25), resized=0.5, flips=(0, 1), quarter_turns=True,
    gain=0.2, offset=0.1, gamma=0.3,
)  # fmt: skip


def same(one, other):
    return np.array_equal(one[0], other[0]) and one[1] == other[1]


# -- chance --------------------------------------------------------------------------------------


def test_a_batch_is_the_same_whenever_and_by_whomever_it_is_asked_for(tmp_path):
    cohort = make_cohort(tmp_path)
    batches = make_batches(tmp_path, cohort, augmentation=LIVELY, foreground=0.5)
    first = [batches.at(step) for step in range(6)]

    again = make_batches(tmp_path, cohort, augmentation=LIVELY, foreground=0.5)

    assert all(same(again.at(step), first[step]) for step in (5, 3, 0, 4, 1, 2))
    assert first[0][0].shape == (4, 1, 16, 16)
    assert first[0][0].dtype == np.float32
    assert np.abs(np.concatenate([x for x, _ in first])).max() <= 1


def test_other_steps_and_seeds_give_other_patches(tmp_path):
    cohort = make_cohort(tmp_path)
    one, other = (make_batches(tmp_path, cohort, seed=seed) for seed in (0, 1))
    x = np.concatenate([source.at(step)[0] for source in (one, other) for step in range(3)])
    assert len({patch.tobytes() for patch in x}) == len(x)
    seeds = [seed for source in (one, other) for step in range(3) for seed in source.at(step)[1]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_make_the_batch_of_one(tmp_path, world):
    batches = make_batches(tmp_path, make_cohort(tmp_path), augmentation=LIVELY)
    whole = batches.at(3)
    shares = [batches.at(3, rank, world) for rank in range(world)]
    assert np.array_equal(np.concatenate([x for x, _ in shares]), whole[0])
    assert tuple(itertools.chain.from_iterable(seeds for _, seeds in shares)) == whole[1]
    with pytest.raises(SettingsError, match="3 processes cannot share batches of 4"):
        batches.at(0, 0, 3)


def chosen(batches, count, batch=4):
    return [batches.choose(*divmod(n, batch)) for n in range(count)]


def test_each_image_is_drawn_once_before_any_is_drawn_again(tmp_path):
    batches = make_batches(tmp_path, make_cohort(tmp_path, count=6))
    names = [image.name for _, image in chosen(batches, 60)]
    epochs = [tuple(names[n : n + 6]) for n in range(0, 60, 6)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len(set(epochs)) > 7


def test_sources_are_drawn_by_their_weights_and_each_in_epochs_of_its_own(tmp_path):
    rows = []
    for n in range(6):
        write_picture(tmp_path / f"{n}.png", seed=n)
        kind = "many" if n < 4 else "few"
        rows.append((f"{n}.png", f"p{n}", "dev-test" if n == 0 else "train", kind))
    table = write_table(tmp_path, rows, ("path", "patient", "split", "kind"))
    sources = (
        Source("many", {"kind": ("many",)}, weight=1.0),
        Source("few", {"kind": ("few",)}, weight=3.0),
    )
    batches = make_batches(tmp_path, Cohort.from_table(table), sources=sources)

    drawn = chosen(batches, 4096)

    by_source = {
        name: [i.name for pool, i in drawn if pool.name == name] for name in ("many", "few")
    }
    assert {name: len(images) for name, images in by_source.items()} == {"many": 1024, "few": 3072}
    assert set(by_source["many"]) == {"1.png", "2.png", "3.png"}
    few = by_source["few"]
    assert all({few[n], few[n + 1]} == {"4.png", "5.png"} for n in range(0, 3072, 2))
    # Each stretch is mixed, not one source after the other.
    assert 60 < sum(pool.name == "few" for pool, _ in drawn[:100]) < 90


def test_epochs_go_on_from_one_block_of_draws_to_the_next(tmp_path):
    batches = make_batches(tmp_path, make_cohort(tmp_path, count=7))  # 7 does not divide 4096
    names = [batches.choose(n // 4, n % 4)[1].name for n in range(4095 - 4095 % 7, 4095 + 14)]
    assert all(len(set(names[n : n + 7])) == 7 for n in range(0, 14, 7))


# -- what is seen --------------------------------------------------------------------------------


def test_a_crop_of_a_picture_is_a_piece_of_it_with_its_rows_and_columns(tmp_path):
    pixels = write_picture(tmp_path / "0.png", rows=24, columns=32, seed=5)
    write_picture(tmp_path / "1.png")
    table = write_table(tmp_path, [("0.png", "a", "train"), ("1.png", "b", "dev-test")])
    wanted = pixels.astype(np.float32) * (2 / 255) - 1
    x, _ = make_batches(tmp_path, Cohort.from_table(table), batch=20).at(0)

    windows = np.lib.stride_tricks.sliding_window_view(wanted, (16, 16))
    for patch in x[:, 0]:
        apart = np.abs(windows - patch).max(axis=(2, 3))
        assert apart.min() < 1e-6


def one_volume(tmp_path, **kind):
    """A cohort that trains on one volume; the volume's values in [−1, 1]."""
    pixels = write_volume(tmp_path / "0.nii", **kind)
    write_volume(tmp_path / "1.nii", **kind)
    table = write_table(tmp_path, [("0.nii", "a", "train"), ("1.nii", "b", "dev-test")])
    low, high = pixels.min(), pixels.max()
    return Cohort.from_table(table), (pixels - low) * (2 / (high - low)) - 1


def test_a_cube_is_a_piece_of_its_volume_with_its_axes(tmp_path):
    cohort, wanted = one_volume(tmp_path, shape=(20, 18, 16))
    x, _ = make_batches(tmp_path, cohort, dims=3, crop=12, batch=10).at(0)
    windows = np.lib.stride_tricks.sliding_window_view(wanted, (12, 12, 12))
    assert x.shape == (10, 1, 12, 12, 12)
    for patch in x[:, 0]:
        assert np.abs(windows - patch).max(axis=(3, 4, 5)).min() < 1e-5


def slopes(x):
    """How a patch grows along its rows and its columns."""
    return np.diff(x, axis=1).mean(), np.diff(x, axis=2).mean()


# Volumes that grow along one direction of the body, stored in three orientations.
ORIENTED = {
    "LPS": np.diag([-1.0, -1, 1, 1]),
    "RAS": np.diag([1.0, 1, 1, 1]),
    "ASL": np.array([[0.0, 0, -1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("affine", ORIENTED.values(), ids=ORIENTED.keys())
@pytest.mark.parametrize("world", [0, 1, 2], ids=["right", "front", "head"])
def test_slices_in_all_planes_stand_as_a_reader_expects(tmp_path, affine, world):
    """Head and front up, the patient's right on the left, in every plane, however it is stored."""
    places = np.stack(np.meshgrid(*[np.arange(24.0)] * 3, indexing="ij"), axis=-1)
    growing = (places @ affine[:3, :3].T)[..., world]
    cohort, _ = one_volume(tmp_path, pixels=growing.astype(np.int16), affine=affine)
    steps = {}
    for plane, across in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        x, _ = make_batches(tmp_path, cohort, planes=(across,), batch=4).at(0)
        steps[plane] = tuple(np.sign(np.round(slopes(x[:, 0].mean(axis=0, keepdims=True)), 4)))

    # (down the rows, along the columns)
    down, right, level = (-1, 0), (0, -1), (0, 0)
    wanted = {
        0: {"axial": right, "coronal": right, "sagittal": level},
        1: {"axial": down, "coronal": level, "sagittal": (0, -1)},
        2: {"axial": level, "coronal": down, "sagittal": down},
    }[world]
    assert steps == wanted


def test_a_volume_is_sliced_across_the_planes_a_crop_fits_into(tmp_path):
    cohort, _ = one_volume(tmp_path, shape=(40, 36, 8))
    batches = make_batches(tmp_path, cohort, planes=(0, 1, 2), batch=12)
    assert batches.at(0)[0].shape == (12, 1, 16, 16)


def test_slices_of_air_alone_are_not_drawn(tmp_path):
    pixels = np.full((24, 24, 40), -1000, np.int16)
    pixels[4:20, 4:20, 16:24] = np.random.default_rng(0).integers(0, 500, (16, 16, 8))
    cohort, _ = one_volume(tmp_path, pixels=pixels)
    batches = make_batches(tmp_path, cohort, crop=24, batch=8)
    x = np.concatenate([batches.at(step)[0] for step in range(8)])
    assert (x.max(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 1.0, 1.0), (0.5, 0.4, 0.68)])
def test_the_share_of_patches_that_hold_foreground_is_that_asked_for(tmp_path, share, least, most):
    pixels = np.zeros((72, 72, 72), np.int16)
    pixels[8:16, 48:56, 24:32] = 1000
    cohort, _ = one_volume(tmp_path, pixels=pixels)
    batches = make_batches(tmp_path, cohort, dims=3, foreground=share, batch=10)
    x = np.concatenate([batches.at(step)[0] for step in range(10)])
    held = (x.max(axis=(1, 2, 3, 4)) > 0).mean()
    assert least <= held <= most


@pytest.mark.parametrize("across", [0, 1, 2])
def test_a_slice_that_must_hold_foreground_does_in_every_plane(tmp_path, across):
    pixels = np.random.default_rng(0).integers(0, 9, (40, 48, 56), np.int16)
    pixels[20:32, 3:15, 33:45] += 1000
    cohort, _ = one_volume(tmp_path, pixels=pixels)
    batches = make_batches(tmp_path, cohort, planes=(across,), foreground=1.0, batch=16)
    assert (batches.at(0)[0].max(axis=(1, 2, 3)) > -0.5).all()


def test_grey_is_given_three_times_and_colour_as_it_is(tmp_path):
    from PIL import Image as Picture

    colours = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Picture.fromarray(colours).save(tmp_path / "0.png")
    write_picture(tmp_path / "1.png")
    write_picture(tmp_path / "2.png")
    rows = [("0.png", "a", "train"), ("1.png", "b", "train"), ("2.png", "c", "dev-test")]
    cohort = Cohort.from_table(write_table(tmp_path, rows))

    three, _ = make_batches(tmp_path, cohort, in_channels=3, batch=2).at(0)
    single = make_batches(tmp_path, cohort, in_channels=1, batch=32).at(0)[0]

    grey = [bool((patch == patch[0]).all()) for patch in three]
    assert sorted(grey) == [False, True]
    assert single.shape == (32, 1, 16, 16)
    with pytest.raises(InputError, match=r"0\.png has 3 channels, but the network takes 2"):
        make_batches(tmp_path, cohort, in_channels=2)


# -- step after step -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stream_gives_the_steps_in_order_from_any_of_them(tmp_path, threads):
    batches = make_batches(tmp_path, make_cohort(tmp_path), augmentation=LIVELY)
    shares = list(batches.stream(5, 17, rank=1, world=2, threads=threads))
    assert len(shares) == 12
    assert all(same(share, batches.at(5 + n, 1, 2)) for n, share in enumerate(shares))
    assert list(batches.stream(3, 3)) == []


def test_a_stream_that_is_closed_leaves_no_thread(tmp_path):
    batches = make_batches(tmp_path, make_cohort(tmp_path))
    stream = batches.stream(0, 10**9, threads=2)
    next(stream)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_image_that_is_lost_while_training_ends_the_stream_with_its_name(tmp_path):
    batches = make_batches(tmp_path, make_cohort(tmp_path))
    for entry in (tmp_path / "cache").glob("*.npy"):
        entry.unlink()
    with pytest.raises(InputError, match="removed or damaged while it was in use"):
        list(batches.stream(0, 3))
