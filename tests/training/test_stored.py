import pickle
import sys

import numpy as np
import pytest
import torch
from tests.formats.stored import bitstream, fill, key_of, made
from torch.utils.data import DataLoader

import plica
from plica.cohort import Case, Cohort
from plica.errors import InputError, MissingExtra, SettingsError, UnreadableFile
from plica.latent import Trail
from plica.training.store_labels import Labels
from plica.training.stored import Form

pytest.importorskip("pyarrow")


def flat(number):
    """A radiograph's latent: one code thick."""
    return made(number, trail=Trail())


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "store", counts=(3, 2), dtype="float16")
    return tmp_path / "store"


def write_labels(path, numbers, columns="path,finding,age"):
    lines = [columns, *(f"site/{n}.nii.gz,{n / 2},{n}" for n in numbers)]
    path.write_text("\n".join(lines) + "\n")
    return path


# -- items ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_items_hold_the_codes_that_a_reader_sees(tmp_path, dtype):
    store, seen = fill(tmp_path / "store", dtype=dtype)
    data = plica.open_store(tmp_path / "store", columns=("modality", "shape"))
    assert len(data) == 5
    for number, item in enumerate(data):
        assert item["codes"].dtype == torch.float32
        assert np.array_equal(item["codes"].numpy(), seen[key_of(number)].codes)
        assert item["key"] == key_of(number)
        assert item["modality"] == ("MR" if number % 2 else "CT")
        assert item["shape"] == [7, 11, 4]
    assert torch.equal(data[-1]["codes"], data[4]["codes"])
    with pytest.raises(IndexError):
        data[5]
    kept = plica.open_store(store.folder, dtype="stored")[0]["codes"]
    assert kept.dtype == (torch.float32 if dtype == "int8" else getattr(torch, dtype))
    assert torch.equal(kept.float(), data[0]["codes"])


def test_an_item_asked_for_by_key_says_how_to_find_it(folder):
    data = plica.open_store(folder)
    with pytest.raises(InputError, match=r"from 0 to 4, but got .*data\.store\.codes\(key\)"):
        data[key_of(3)]
    with pytest.raises(InputError, match="Subset"):
        data[1:3]
    for at in (np.int64(3), torch.tensor(3)):
        assert data[at]["key"] == key_of(3)
    assert np.array_equal(data.store.codes(key_of(3)), data[3]["codes"].numpy())


def test_items_are_the_readers_own_to_change(folder):
    data = plica.open_store(folder)
    before = data[0]["codes"].clone()
    data[0]["codes"].zero_()
    assert torch.equal(data[0]["codes"], before)


def test_a_flat_latent_loses_its_last_axis_where_asked_and_a_volume_does_not(tmp_path):
    fill(tmp_path / "flat", latent=flat)
    data = plica.open_store(tmp_path / "flat", dims=2)
    assert data[0]["codes"].shape == (2, 2, 3)
    deep = np.zeros((1, 1, 3, 2), np.float32).transpose(0, 1, 2, 3)
    fill(tmp_path / "deep", latent=lambda n: deep_latent(n, deep))
    with pytest.raises(InputError, match="dims=3"):
        plica.open_store(tmp_path / "deep", dims=2)[0]


def deep_latent(number, codes):
    from dataclasses import replace

    latent = flat(number)
    return replace(latent, codes=codes, factor=(8, 4, 2))


def test_a_transform_has_the_last_word(folder):
    data = plica.open_store(folder, transform=lambda item: item["codes"].mean())
    assert data[0].ndim == 0


def test_bitstreams_come_as_bytes_and_are_no_images(tmp_path):
    _, seen = fill(tmp_path / "store", latent=bitstream)
    data = plica.open_store(tmp_path / "store")
    assert data[0]["codes"].dtype == torch.uint8
    assert np.array_equal(data[0]["codes"].numpy(), seen[key_of(0)].codes)
    pytest.importorskip("monai")
    with pytest.raises(InputError, match="stream of bytes"):
        data.as_monai()[0]


@pytest.mark.parametrize("moved", [False, True])
def test_loaders_batch_shuffle_and_share_out_the_map(folder, moved):
    data = plica.open_store(folder).load()
    if moved:
        data = pickle.loads(pickle.dumps(data))
    loader = DataLoader(data, batch_size=2, shuffle=True, generator=torch.Generator())
    batches = list(loader)
    assert [len(batch["key"]) for batch in batches] == [2, 2, 1]
    assert sorted(key for batch in batches for key in batch["key"]) == sorted(map(key_of, range(5)))
    shares = [
        list(torch.utils.data.DistributedSampler(data, num_replicas=2, rank=rank, seed=3))
        for rank in (0, 1)
    ]
    assert set(shares[0]) | set(shares[1]) == set(range(5))


# -- other libraries -----------------------------------------------------------------------------


def test_monai_items_stand_on_the_latents_grid(folder):
    monai = pytest.importorskip("monai.data")
    data = plica.open_store(folder, columns=("unit",)).as_monai()
    item, latent = data[3], data.store.read(key_of(3))
    assert isinstance(item["codes"], monai.MetaTensor)
    assert np.allclose(item["codes"].affine.numpy(), latent.grid.affine)
    assert np.array_equal(np.asarray(item["codes"]), latent.codes)
    assert item["unit"] == "HU"
    batch = next(iter(monai.DataLoader(data, batch_size=2)))
    assert batch["codes"].shape == (2, 2, 2, 3, 1)
    streamed = next(iter(data.stream(shuffle=False)))
    assert np.allclose(streamed["codes"].affine, data[0]["codes"].affine)


def test_torchio_items_are_subjects_on_the_latents_grid(folder):
    torchio = pytest.importorskip("torchio")
    data = plica.open_store(folder, transform=lambda s: (s, isinstance(s, torchio.Subject)))
    (subject, seen), latent = data.as_torchio()[3], data.store.read(key_of(3))
    assert seen
    assert np.allclose(subject["codes"].affine, latent.grid.affine)
    assert np.array_equal(subject["codes"].data.numpy(), latent.codes)
    assert subject["key"] == key_of(3)


def test_what_cannot_be_is_refused_before_any_item(folder, monkeypatch):
    with pytest.raises(InputError, match="patient"):
        plica.open_store(folder, columns=("patient",))
    with pytest.raises(UnreadableFile, match="no store"):
        plica.open_store(folder / "shards")
    data = plica.open_store(folder, dims=2)
    with pytest.raises(SettingsError, match="dims=3"):
        data.as_torchio()
    monkeypatch.setitem(sys.modules, "monai.data.meta_tensor", None)
    with pytest.raises(MissingExtra, match="cad"):
        data.as_monai()


# -- labels --------------------------------------------------------------------------------------


def test_labels_join_their_latents_whatever_their_order(folder, tmp_path):
    table = write_labels(tmp_path / "labels.csv", [3, 0, 4, 1, 2])
    for given in (table, str(table), Labels(table, kinds={"finding": float, "age": int})):
        for item in plica.open_store(folder, labels=given):
            number = next(n for n in range(5) if key_of(n) == item["key"])
            typed = isinstance(given, Labels)
            assert item["finding"] == (number / 2 if typed else str(number / 2))
            assert item["age"] == (number if typed else str(number))


def test_some_latents_may_be_left_out_when_it_is_said(folder, tmp_path):
    table = write_labels(tmp_path / "labels.csv", [4, 1])
    with pytest.raises(
        InputError, match=r"3 latents have no row.*site/0\.nii\.gz.*Labels\(\.\.\., subset=True\)"
    ):
        plica.open_store(folder, labels=table)
    data = plica.open_store(folder, labels=Labels(table, kinds={"age": int}, subset=True))
    assert [(item["key"], item["age"]) for item in data] == [(key_of(1), 1), (key_of(4), 4)]
    assert [item["age"] for item in data.stream(shuffle=False)] == [1, 4]


def test_a_cohort_labels_its_split(folder, tmp_path):
    cases = [
        Case(f"p{n}", "", str(n), tmp_path / str(n), "train" if n < 3 else "test",
             {"path": f"site/{n}.nii.gz", "finding": str(n)})
        for n in range(5)
    ]  # fmt: skip
    train = Cohort(tuple(cases)).of_split("train")
    data = plica.open_store(folder, labels=Labels(train, subset=True))
    assert [(item["patient"], item["finding"]) for item in data] == [
        ("p0", "0"), ("p1", "1"), ("p2", "2")]  # fmt: skip
    with pytest.raises(InputError, match="no label 'where'"):
        plica.open_store(folder, labels=Labels(train, column="where"))


@pytest.mark.parametrize(
    ("rows", "change", "words"),
    [
        ([0, 1, 2, 3, 4, 5], {}, r"1 of 6 rows of labels.csv have no latent.*site/5"),
        ([0, 1, 2, 3, 4, 4], {}, "two rows"),
        ([0, 1, 2, 3], {}, "no row"),
        ([], {}, "no rows"),
        ([0, 1, 2, 3, 4], {"kinds": {"gone": float}}, "lacks the column gone"),
        ([0, 1, 2, 3, 4], {"kinds": {"finding": int}}, "'0.0', but int was expected"),
        ([0, 1, 2, 3, 4], {"column": "gone"}, "gone"),
        ([0, 1, 2, 3, 4], {"on": "gone"}, "gone"),
        ([0, 1, 2, 3, 4], {"on": "key"}, "have no latent"),
    ],
)
def test_labels_that_do_not_fit_fail_loudly(folder, tmp_path, rows, change, words):
    table = write_labels(tmp_path / "labels.csv", rows)
    with pytest.raises(InputError, match=words):
        plica.open_store(folder, labels=Labels(table, **change))


def test_labels_of_a_cohort_that_knows_no_such_column_fail(folder, tmp_path):
    rows = (f"site/{number}.nii.gz,p{number}" for number in range(5))
    (tmp_path / "labels.csv").write_text("\n".join(["path,patient", *rows]))
    cohort = Cohort.from_table(tmp_path / "labels.csv", split="")
    with pytest.raises(InputError, match=r"the cohort has no column gone; there are: .*path"):
        plica.open_store(folder, labels=Labels(cohort, kinds={"gone": float}))


def test_labels_for_two_latents_at_once_and_labels_of_a_taken_name_fail(folder, tmp_path):
    (tmp_path / "a.csv").write_text("modality,x\nCT,1\nMR,2\n")
    with pytest.raises(InputError, match="two latents"):
        plica.open_store(folder, labels=Labels(tmp_path / "a.csv", "modality", "modality"))
    table = write_labels(tmp_path / "b.csv", range(5), "path,key,unit")
    with pytest.raises(InputError, match="both have key, unit"):
        plica.open_store(folder, columns=("unit",), labels=table)


def test_the_front_door_waits_with_torch():
    import subprocess

    code = "import sys, plica; plica.open_store; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("form", [{"dims": 4}, {"dtype": "float8"}])
def test_items_of_no_such_form_are_refused(form):
    with pytest.raises(SettingsError, match="dims is 2 or 3 and dtype 'float32' or 'stored'"):
        Form(**form)
