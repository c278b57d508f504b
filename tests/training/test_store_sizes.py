"""Latents of several sizes in one batch: nothing is changed, and it is said where codes are."""

import pytest
import torch
from tests.formats.stored import fill, key_of, made
from torch.utils.data import DataLoader

import plica
from plica.errors import InputError, SettingsError
from plica.grid import Grid
from plica.latent import Trail
from plica.training.store_sizes import CropOrPad, pad_batch

pytest.importorskip("pyarrow")
SIDES = [(2, 3), (4, 1), (3, 2), (2, 3), (5, 5)]


@pytest.fixture
def folder(tmp_path):
    """A store of latents of several sizes: one code thick, of two channels."""

    def latent(number):
        codes = torch.full((2, *SIDES[number], 1), number + 1.0).numpy()
        grid = Grid.from_spacing([4 * side for side in codes.shape[1:]])
        return made(number, codes=codes, prepared=grid, source=grid, trail=Trail())

    fill(tmp_path / "store", dtype="float16", latent=latent)
    return tmp_path / "store"


def number_of(key):
    return [key_of(number) for number in range(len(SIDES))].index(key)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("form", [{}, {"dims": 2}, {"dtype": "stored"}])
def test_batches_of_several_sizes_hold_all_codes_and_say_where(folder, streamed, workers, form):
    data = plica.open_store(folder, columns=("modality",), **form)
    given = data.stream(seed=1) if streamed else data
    loader = DataLoader(given, batch_size=3, num_workers=workers, collate_fn=pad_batch)
    met = []
    for batch in loader:
        assert len(batch["modality"]) == len(batch["codes"]) == len(batch["mask"])
        numbers = [number_of(key) for key in batch["key"]]
        largest = [max(SIDES[number][axis] for number in numbers) for axis in (0, 1)]
        assert list(batch["codes"].shape[1:4]) == [2, *largest]
        assert batch["codes"].dtype == (torch.float16 if "dtype" in form else torch.float32)
        for number, codes, mask in zip(numbers, batch["codes"], batch["mask"], strict=True):
            rows, columns = SIDES[number]
            assert (codes[:, :rows, :columns] == number + 1).all()
            assert codes.sum() == 2 * rows * columns * (number + 1)
            assert mask.dtype == torch.bool
            assert mask[0, :rows, :columns].all()
            assert mask.sum() == rows * columns
            met.append(number)
    assert sorted(met) == list(range(len(SIDES)))


def test_equal_sizes_are_batched_as_they_are():
    items = [{"codes": torch.randn(3, 4, 5), "finding": n} for n in range(2)]
    batch = pad_batch(items)
    assert torch.equal(batch["codes"], torch.stack([item["codes"] for item in items]))
    assert batch["mask"].all()
    assert batch["finding"].tolist() == [0, 1]
    assert pad_batch([{"codes": torch.ones(1, 2)}]).keys() == {"codes", "mask"}


def test_codes_are_cut_and_padded_middle_on_middle(folder):
    codes = torch.arange(1.0, 25).reshape(1, 4, 6)
    item = {"codes": codes, "finding": 1}
    made_ = CropOrPad(6, 2)(item)
    assert made_["finding"] == 1
    assert torch.equal(made_["codes"][:, 1:5], codes[:, :, 2:4])
    assert made_["codes"].sum() == codes[:, :, 2:4].sum()
    assert torch.equal(item["codes"], codes)
    assert torch.equal(CropOrPad(4, 6)(item)["codes"], codes)
    for side, kept in ((3, [0, 1, 2]), (2, [1, 2])):
        assert torch.equal(CropOrPad(side, 6)(item)["codes"], codes[:, kept])

    data = plica.open_store(folder, transform=CropOrPad(3, 3, 1))
    [batch] = DataLoader(data.stream(), batch_size=5)
    assert batch["codes"].shape == (5, 2, 3, 3, 1)


def test_what_has_an_affine_or_no_codes_is_left_to_those_who_know_of_it(folder):
    monai = pytest.importorskip("monai.data")
    data = plica.open_store(folder).as_monai()
    assert isinstance(data[0]["codes"], monai.MetaTensor)
    for take in (lambda: pad_batch([data[0]]), lambda: CropOrPad(3, 3, 1)(data[0])):
        with pytest.raises(InputError, match=r"got MetaTensor: .*ResizeWithPadOrCropd"):
            take()
    with pytest.raises(InputError, match='under "codes", but got float'):
        pad_batch([0.5])


@pytest.mark.parametrize("sides", [(), (3, 0, 1)])
def test_sides_that_hold_nothing_are_refused(sides):
    with pytest.raises(SettingsError, match=r"sides of at least 1.*such as CropOrPad\(64, 64, 1\)"):
        CropOrPad(*sides)


def test_what_does_not_fit_is_said():
    with pytest.raises(InputError, match=r"2 sides, and the codes are \(1, 4, 4, 1\).* it 3"):
        CropOrPad(3, 3)({"codes": torch.ones(1, 4, 4, 1)})
    odd = [{"codes": torch.ones(1, *[2] * axes)} for axes in (2, 3)]
    with pytest.raises(InputError, match=r"equally many axes.*\(1, 2, 2\) and \(1, 2, 2, 2\)"):
        pad_batch(odd)
    with pytest.raises(InputError, match=r'"mask" into the batch.*another name'):
        pad_batch([{"codes": torch.ones(1, 2, 2), "mask": 1}])


@pytest.mark.parametrize("named", [True, False])
def test_codes_of_grey_and_colour_say_why_they_differ_and_what_to_do(named):
    items = [{"codes": torch.ones(channels, 2, 2)} for channels in (3, 9, 3)]
    if named:
        items = [item | {"key": f"k{number}"} for number, item in enumerate(items)]
    with pytest.raises(InputError, match=r"have 3 and 9(, as those of k1)?: .*colour") as found:
        pad_batch(items)
    assert ("those of k1" in str(found.value)) is named
    assert 'item["codes"][:3]' in str(found.value)
    assert "a store of their own" in str(found.value)
    first = [item | {"codes": item["codes"][:3]} for item in items]
    assert pad_batch(first)["codes"].shape == (3, 3, 2, 2)
