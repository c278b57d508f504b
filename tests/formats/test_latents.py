import hashlib
import json
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formats.scenes import turned

from plica.errors import LatentError, OutputError, PlicaError, TooLarge, UnreadableFile
from plica.formats import latents
from plica.formats.codes import STORAGE_TYPES, from_bfloat16, to_bfloat16
from plica.formats.doors import read as read_image
from plica.formats.doors import read_latent, write
from plica.formats.latent_record import SCHEMA
from plica.grid import Grid
from plica.image import Display, Provenance, Unit
from plica.latent import CodecIdentity, Latent, Record, Trail

PREPARED = Grid((8, 12, 4), np.block([[turned(5, 10, 15), np.ones((3, 1))], [np.eye(4)[3:]]]))
SOURCE = Grid((7, 11, 4), PREPARED.affine, calibrated=False)


def make(channels=2, seed=0, **changes):
    """A latent that uses every field."""
    codes = np.random.default_rng(seed).normal(size=(channels, 2, 3, 1)).astype(np.float32)
    records = (
        Record("window", {"low": -1000.0, "high": np.float64(1000)}, {"clipped_fraction": 0.25},
               {"high_values": np.arange(6, dtype=np.int16).reshape(2, 3),
                "where": np.array([True, False, True])}),
        Record("pad", {"before": [0, 1, 0]}),
        Record("window", {}, {}, {"empty": np.zeros((0, 3), np.float32)}),
    )  # fmt: skip
    card = {"name": "linear-4x2-3d", "factor": 4, "extras": {"é": [1, None, True]}}
    latent = Latent(
        codes=codes,
        codec=CodecIdentity("linear-4x2-3d", "sha256:abc", card),
        prepared=PREPARED,
        factor=(4, 4, 4),
        source=SOURCE,
        trail=Trail(records),
        unit=Unit.HU,
        display=Display(40.0, 400.0, "SIGMOID", inverted=True, table=(0.0, 0.5, 1.0),
                        table_first=-3),
        provenance=Provenance(
            "nifti-1", "CT", "sha256:1", "sha256:2", ("A note.",), ("A step.",),
            {"PatientName": "Somebody^Else"},
        ),
        kind="projected",
    )  # fmt: skip
    return replace(latent, **changes)


def assert_same(read, latent):
    for field in ("codec", "prepared", "factor", "source", "unit", "display", "kind"):
        assert getattr(read, field) == getattr(latent, field), field
    assert read.provenance == replace(latent.provenance, identity={})
    assert len(read.trail.records) == len(latent.trail.records)
    for one, other in zip(read.trail.records, latent.trail.records, strict=True):
        assert (one.step, dict(one.undo), dict(one.loss)) == (
            other.step, dict(other.undo), dict(other.loss))  # fmt: skip
        assert set(one.arrays) == set(other.arrays)
        for key, array in other.arrays.items():
            assert one.arrays[key].dtype == array.dtype
            assert np.array_equal(one.arrays[key], array)


# -- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", STORAGE_TYPES)
def test_every_field_comes_back_and_identity_does_not(tmp_path, dtype):
    latent = make()
    seen = latents.write(latent, tmp_path / "a.latent", dtype=dtype)
    read = latents.read(tmp_path / "a.latent")

    assert_same(read, latent)
    assert_same(seen, latent)
    assert read.codes.dtype == np.float32
    assert np.array_equal(read.codes, seen.codes)
    assert dict(read.stored) == dict(seen.stored)
    assert b"Somebody" not in (tmp_path / "a.latent").read_bytes()


def test_float32_is_exact_and_safetensors_reads_it(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    latent = make()
    latents.write(latent, tmp_path / "a.latent")
    found = numpy.load_file(tmp_path / "a.latent")
    assert np.array_equal(found["codes"], latent.codes)
    assert np.array_equal(
        found["trail.0.high_values"], latent.trail.records[0].arrays["high_values"]
    )
    assert np.array_equal(latents.read(tmp_path / "a.latent").codes, latent.codes)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_torch_reads_the_same_numbers(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    load = pytest.importorskip("safetensors.torch").load_file
    latent = make()
    seen = latents.write(latent, tmp_path / "a.latent", dtype=dtype)
    found = load(tmp_path / "a.latent")
    if dtype == "int8":
        expected = found["codes"].float() * found["codes.scale"][:, None, None, None]
    else:
        assert found["codes"].dtype == getattr(torch, dtype)
        assert torch.equal(found["codes"], torch.from_numpy(latent.codes).to(found["codes"].dtype))
        expected = found["codes"].float()
    assert np.array_equal(expected.numpy(), seen.codes)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    factor=st.tuples(*[st.integers(1, 4)] * 3),
    dtype=st.sampled_from(STORAGE_TYPES),
    scale=st.sampled_from([0.0, 1e-40, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 1000),
)
def test_codes_of_any_shape_come_back_within_the_measured_loss(
    tmp_path, shape, factor, dtype, scale, seed
):
    codes = (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)
    grid = Grid.from_spacing([side * by for side, by in zip(shape[1:], factor, strict=True)])
    latent = Latent(codes, CodecIdentity("x", "sha256:0"), grid, factor, grid)
    seen = latents.write(latent, tmp_path / "a.latent", dtype=dtype, overwrite=True)
    read = latents.read(tmp_path / "a.latent")

    apart = np.abs(read.codes.astype(np.float64) - codes)
    assert read.codes.shape == shape
    assert np.isclose(apart.max(), seen.stored["max_error"])
    assert np.isclose(np.sqrt((apart**2).mean()), seen.stored["rms_error"])
    tiny = float(np.finfo(np.float32).tiny)
    bound = {"float32": 0.0, "bfloat16": 2**-8, "float16": 2**-11, "int8": 0.51 / 127}[dtype]
    assert apart.max() <= bound * np.abs(codes).max() + {"float16": 3e-8}.get(dtype, tiny)


def test_a_bitstream_keeps_its_bytes_whatever_type_is_asked_for(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (1, 999, 1, 1), np.uint8, endpoint=False)
    latent = make(codes=codes, kind="bitstream")
    seen = latents.write(latent, tmp_path / "a.latent", dtype="int8")
    read = latents.read(tmp_path / "a.latent")
    assert read.codes.dtype == np.uint8
    assert np.array_equal(read.codes, codes)
    assert seen.stored["dtype"] == "uint8"
    assert read.kind == "bitstream"


def test_equal_latents_make_equal_files(tmp_path):
    for name in ("a.latent", "b.latent"):
        latents.write(make(), tmp_path / name)
    assert (tmp_path / "a.latent").read_bytes() == (tmp_path / "b.latent").read_bytes()


# -- storage types -------------------------------------------------------------------------------


def test_bfloat16_rounds_to_nearest_ties_to_even_as_torch_does():
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32)
    ties = (np.arange(0, 2**16, 7, dtype=np.uint32) << 16) | 0x8000
    values = np.concatenate([bits, ties]).view(np.float32)
    ours = from_bfloat16(to_bfloat16(values))
    theirs = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.array_equal(np.nan_to_num(ours), np.nan_to_num(theirs))


@pytest.mark.parametrize(("value", "dtype"), [(1e6, "float16"), (3.4e38, "bfloat16")])
def test_codes_too_large_for_a_type_are_refused(tmp_path, value, dtype):
    latent = make(codes=np.full((2, 2, 3, 1), value, np.float32))
    with pytest.raises(OutputError, match="too large"):
        latents.write(latent, tmp_path / "a.latent", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_codes_that_are_not_finite_stay_so_except_in_int8(tmp_path):
    codes = np.zeros((2, 2, 3, 1), np.float32)
    codes[0, 0, :, 0] = [np.nan, np.inf, -np.inf]
    for dtype in ("float32", "float16", "bfloat16"):
        latents.write(make(codes=codes), tmp_path / "a.latent", dtype=dtype, overwrite=True)
        read = latents.read(tmp_path / "a.latent").codes
        assert np.array_equal(read, codes, equal_nan=True)
    with pytest.raises(OutputError, match="NaN"):
        latents.write(make(codes=codes), tmp_path / "b.latent", dtype="int8")


def test_int8_has_one_scale_for_each_channel(tmp_path):
    codes = np.ones((2, 2, 3, 1), np.float32)
    codes[1] *= 1000
    codes[0, 0, 0, 0] = 0.1
    latents.write(make(codes=codes), tmp_path / "a.latent", dtype="int8")
    assert np.allclose(latents.read(tmp_path / "a.latent").codes, codes, rtol=0.04)


def test_an_unknown_type_is_refused(tmp_path):
    with pytest.raises(PlicaError, match="int4"):
        write(make(), tmp_path / "a.latent", dtype="int4")


def test_numbers_of_numpy_in_a_record_come_back_as_numbers(tmp_path):
    undo = {"low": np.float32(0.5), "side": np.int64(7), "whole": np.bool_(True)}
    latents.write(make(trail=Trail((Record("window", undo),))), tmp_path / "a.latent")
    read = latents.read(tmp_path / "a.latent").trail.records[0].undo
    assert read == {"low": 0.5, "side": 7, "whole": True}


def test_an_array_of_a_type_no_latent_keeps_is_refused_and_nothing_written(tmp_path):
    trail = Trail((Record("window", {}, {}, {"waves": np.zeros(3, complex)}),))
    with pytest.raises(LatentError, match="complex128 cannot be kept"):
        latents.write(make(trail=trail), tmp_path / "a.latent")
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_no_json_is_refused_and_nothing_written(tmp_path):
    for undo in ({"low": float("nan")}, {"low": np.zeros(3)}, {"low": object()}):
        latent = make(trail=Trail((Record("window", undo),)))
        with pytest.raises(LatentError, match="JSON"):
            latents.write(latent, tmp_path / "a.latent")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays_unless_overwriting_is_asked_for(tmp_path):
    latents.write(make(seed=1), tmp_path / "a.latent")
    with pytest.raises(OutputError, match="overwrite"):
        latents.write(make(seed=2), tmp_path / "a.latent")
    assert np.array_equal(latents.read(tmp_path / "a.latent").codes, make(seed=1).codes)
    latents.write(make(seed=2), tmp_path / "a.latent", overwrite=True)
    assert np.array_equal(latents.read(tmp_path / "a.latent").codes, make(seed=2).codes)


# -- the header ----------------------------------------------------------------------------------


def test_the_header_says_what_is_inside_without_the_codes(tmp_path):
    latents.write(make(), tmp_path / "a.latent", dtype="int8")
    header = latents.read_header(tmp_path / "a.latent")

    assert header["schema"] == 1
    assert header["shape"] == [2, 2, 3, 1]
    assert header["codec"]["card"]["extras"] == {"é": [1, None, True]}
    assert header["stored"]["dtype"] == "int8"
    assert header["tensors"]["codes"] == {"dtype": "I8", "shape": [2, 2, 3, 1]}
    assert Grid.from_json(header["prepared"]) == PREPARED
    assert header["trail"]["records"][0]["loss"] == {"clipped_fraction": 0.25}
    json.dumps(header)


def test_reading_a_header_imports_nothing_heavy(tmp_path):
    """Archives are listed by it: the interpreter's own start is most of what it takes."""
    latents.write(make(), tmp_path / "a.latent")
    code = (
        "import sys; from pathlib import Path; from plica.formats.latents import read_header; "
        f"read_header(Path({str(tmp_path / 'a.latent')!r})); "
        "print([m for m in ('torch', 'nibabel', 'pydicom', 'PIL', 'safetensors', 'scipy', "
        "'pydantic', 'rich', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_is_latent_tells_a_latent_from_others(tmp_path):
    latents.write(make(), tmp_path / "a.latent")
    (tmp_path / "b.bin").write_bytes(b"something else")
    assert latents.is_latent(tmp_path / "a.latent")
    assert not latents.is_latent(tmp_path / "b.bin")
    assert not latents.is_latent(tmp_path)
    assert not latents.is_latent(tmp_path / "gone.latent")


# -- as an image ---------------------------------------------------------------------------------


def test_codes_lie_over_the_scan_as_an_image_and_as_nifti(tmp_path):
    latent = make()
    image = latents.to_image(latent)
    assert image.grid == latent.grid
    # The first code's centre is the middle of the 4 × 4 × 4 voxels it stands for.
    assert np.allclose(image.grid.to_world([0, 0, 0]), PREPARED.to_world([1.5, 1.5, 1.5]))
    write(latent, tmp_path / "a.nii.gz")
    read_back = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(read_back.pixels, latent.codes)
    assert read_back.grid.agrees_with(latent.grid, 1e-4)


def test_a_bitstream_is_no_image():
    codes = np.zeros((1, 9, 1, 1), np.uint8)
    with pytest.raises(LatentError, match="decode"):
        latents.to_image(make(codes=codes, kind="bitstream"))


# -- damaged files -------------------------------------------------------------------------------


def take_apart(data):
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def put_together(header, tensors):
    """The file as it was written before headers had a checksum."""
    header["__metadata__"].pop("header_sha256", None)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def edit(path, change, dtype="float32"):
    """A latent file whose record was changed by `change(record, header)`."""
    latents.write(make(), path, dtype=dtype, overwrite=True)
    header, tensors = take_apart(path.read_bytes())
    record = json.loads(header["__metadata__"]["plica"])
    change(record, header)
    header["__metadata__"]["plica"] = json.dumps(record)
    path.write_bytes(put_together(header, tensors))
    return path


def assign(*keys, value):
    def change(record, header):
        place = record
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        assign("schema", value=0),
        assign("schema", value=True),
        assign("schema", value="1"),
        assign("kind", value="cooked"),
        assign("unit", value="parsec"),
        assign("factor", value=[4, 4]),
        assign("factor", value=[4, 4, 0]),
        assign("factor", value=[4, 4, 4.0]),
        assign("factor", value=[5, 4, 4]),
        assign("factor", value=[2, 4, 4]),
        assign("prepared", value=None),
        assign("prepared", "shape", value=[8, 12]),
        assign("prepared", "shape", value=[8, 12, 10**30]),
        assign("prepared", "affine", value=[[0] * 4] * 4),
        assign("prepared", "affine", value=[["a"] * 4] * 4),
        assign("prepared", "calibrated", value="yes"),
        assign("source", "affine", value=[[1, 0, 0]] * 3),
        assign("codec", "name", value=7),
        assign("codec", "card", value=[]),
        assign("display", "width", value="wide"),
        assign("display", "function", value="CUBIC"),
        assign("display", "colour", value="red"),
        assign("display", "table", value=["a"]),
        assign("provenance", "notes", value="one"),
        assign("provenance", "identity", value={"PatientName": "Somebody"}),
        assign("provenance", "more", value="x"),
        assign("stored", value=[]),
        assign("more", value=1),
        assign("trail", value=[]),
        assign("trail", "version", value=2),
        assign("trail", "records", value={}),
        assign("trail", "records", value=["window"]),
        assign("trail", "records", 0, "step", value=None),
        assign("trail", "records", 0, "undo", value=[]),
        assign("trail", "records", 0, "arrays", value=["gone"]),
        assign("trail", "records", 0, "arrays", value=[1]),
        lambda record, header: record.pop("unit"),
        lambda record, header: header.pop("codes"),
        lambda record, header: header["codes"].update(dtype="F8_E4M3"),
        lambda record, header: header["codes"].update(shape=[1, 2, 3, 2]),
        lambda record, header: header["codes"].update(shape=[12]),
        lambda record, header: header["codes"].update(shape=[2, 2, 3, 100000]),
        lambda record, header: header["codes"].update(shape=[-2, -2, 3, 1]),
        lambda record, header: header["codes"].update(data_offsets=[0, 10**12]),
        lambda record, header: header["codes"].update(data_offsets=[1]),
        lambda record, header: header["codes"].update(data_offsets=["a", "b"]),
        lambda record, header: header.update(
            extra={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
        lambda record, header: header.update(codes=[]),
        lambda record, header: header["__metadata__"].update(more=1),
        lambda record, header: header["__metadata__"].update(more="a key of nobody's"),
    ],
)  # fmt: skip
def test_an_edited_record_is_refused_with_a_sentence(tmp_path, change):
    path = edit(tmp_path / "a.latent", change)
    with pytest.raises(LatentError, match=r"a\.latent"):
        latents.read(path)


def test_a_newer_schema_says_to_update(tmp_path):
    path = edit(tmp_path / "a.latent", assign("schema", value=2))
    for function in (latents.read, latents.read_header):
        with pytest.raises(LatentError, match="newer plica"):
            function(path)


def test_int8_without_its_scales_is_refused(tmp_path):
    def change(record, header):
        header["codes.scale"]["shape"] = [1, 2]

    with pytest.raises(LatentError, match="scale"):
        latents.read(edit(tmp_path / "a.latent", change, dtype="int8"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record, header: header["codes"].update(dtype="I32"), "keeps its codes as I32"),
        (assign("kind", value="bitstream"), "a bitstream kept as F32"),
        (lambda record, header: header["trail.0.high_values"].update(dtype="BF16"),
         "high_values is bfloat16"),
    ],
)  # fmt: skip
def test_a_tensor_under_the_name_of_another_type_is_refused(tmp_path, change, words):
    with pytest.raises(LatentError, match=words):
        latents.read(edit(tmp_path / "a.latent", change))


def test_scales_of_another_type_or_that_are_not_finite_are_refused(tmp_path):
    def rename(record, header):
        header["codes.scale"]["dtype"] = "I32"

    def forget_the_checksum(record, header):
        del header["__metadata__"]["sha256"]

    path = edit(tmp_path / "a.latent", rename, dtype="int8")
    with pytest.raises(LatentError, match="another type than F32"):
        latents.read(path)
    header, tensors = take_apart(edit(path, forget_the_checksum, dtype="int8").read_bytes())
    start, end = header["codes.scale"]["data_offsets"]
    unknown = np.full((end - start) // 4, np.nan, "<f4").tobytes()
    path.write_bytes(put_together(header, tensors[:start] + unknown + tensors[end:]))
    with pytest.raises(LatentError, match="scales that are not finite"):
        latents.read(path)


def test_weights_are_no_latent(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"a": np.zeros(3)}, tmp_path / "a.latent")
    numpy.save_file({"a": np.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(LatentError, match="weights"):
        latents.read_header(tmp_path / "a.latent")
    with pytest.raises(LatentError, match="weights"):
        read_latent(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"short", bytes(100), b"\xff" * 100, struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 40) + b'{"__metadata__":{"plica":"{\\"a\\":NaN}"}}',
    ],
)  # fmt: skip
def test_other_bytes_are_refused(tmp_path, data):
    (tmp_path / "a.latent").write_bytes(data)
    for function in (latents.read, latents.read_header):
        with pytest.raises(LatentError):
            function(tmp_path / "a.latent")


def test_an_absent_file_and_one_past_the_limit_are_refused(tmp_path):
    with pytest.raises(UnreadableFile):
        latents.read(tmp_path / "gone.latent")
    latents.write(make(), tmp_path / "a.latent")
    with pytest.raises(TooLarge):
        latents.read(tmp_path / "a.latent", max_bytes=100)


FUZZ = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5),
    cut=st.none() | st.integers(0, 10**6),
    dtype=st.sampled_from(STORAGE_TYPES),
)
def test_flipped_and_cut_files_give_a_latent_or_our_own_error(tmp_path, flips, cut, dtype):
    path = tmp_path / "a.latent"
    latents.write(make(), path, dtype=dtype, overwrite=True)
    whole = latents.read(path)
    raw = bytearray(path.read_bytes())
    for at, byte in flips:
        raw[at % len(raw)] = byte
    path.write_bytes(raw if cut is None else raw[: cut % len(raw)])
    with suppress(PlicaError):
        assert latents.read_header(path)["schema"] == SCHEMA
    with suppress(PlicaError):
        assert_same(latents.read(path), whole)
        np.testing.assert_array_equal(latents.read(path).codes, whole.codes)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@FUZZ
@given(data=st.data())
def test_any_value_in_any_field_gives_a_latent_or_our_own_error(tmp_path, data):
    def change(record, header):
        place = data.draw(st.sampled_from([record, header]))
        for _ in range(data.draw(st.integers(1, 4))):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            if key != "__metadata__":
                place[key] = data.draw(VALUES)
            return

    path = edit(tmp_path / "a.latent", change)
    with suppress(PlicaError):
        found = latents.read(path)
        assert found.codes.shape[1:] == found.grid.shape
        assert found.prepared.coarser(found.factor) == found.grid


@pytest.mark.parametrize("from_end", [1, 40])
def test_a_flipped_bit_among_the_codes_is_an_error(tmp_path, from_end):
    path = tmp_path / "a.latent"
    latents.write(make(), path)
    data = bytearray(path.read_bytes())
    data[-from_end] ^= 1
    path.write_bytes(data)
    with pytest.raises(LatentError, match="damaged"):
        latents.read(path)


def test_a_latent_without_a_checksum_is_read_as_before(tmp_path):
    path = tmp_path / "a.latent"
    latents.write(make(), path)
    header, tensors = take_apart(path.read_bytes())
    assert len(header["__metadata__"].pop("sha256")) == 64
    path.write_bytes(put_together(header, tensors))
    assert np.array_equal(latents.read(path).codes, make().codes)


# -- every byte ----------------------------------------------------------------------------------


def small(path, dtype="int8"):
    """A latent in as few bytes as will do, and how many of them stand before the numbers."""
    record = Record("window", {"low": -1024.0, "high": 3071.0}, {}, {"kept": np.zeros(1, bool)})
    latent = make(
        codec=CodecIdentity("c", "sha256:0", {}), trail=Trail((record,)), display=Display(),
        provenance=Provenance("nifti", "CT", "sha256:1", "sha256:2"),
    )  # fmt: skip
    latents.write(latent, path, dtype=dtype, overwrite=True)
    whole = path.read_bytes()
    return whole, 8 + struct.unpack("<Q", whole[:8])[0]


def is_refused_or_same(path, data, whole):
    """Whether a changed file is refused by both readers, or reads as the whole one does."""
    path.write_bytes(data)
    try:
        read = latents.read(path)
    except PlicaError:
        return True
    assert_same(read, whole)
    return np.array_equal(read.codes, whole.codes)


def test_no_byte_can_be_changed_without_being_refused(tmp_path):
    data, header = small(tmp_path / "whole.latent")
    whole = latents.read(tmp_path / "whole.latent")
    changes = [(at, data[at] ^ bit) for at in range(len(data)) for bit in (1,)]
    quotes = [at for at in range(header) if data[at : at + 1] in (b'"', b"9", b"-", b".", b"3")]
    changes += [(at, value) for at in quotes[::90] for value in range(256)]
    for at, value in changes:
        if value == data[at]:
            continue
        changed = data[:at] + bytes([value]) + data[at + 1 :]
        assert is_refused_or_same(tmp_path / "a.latent", changed, whole), (at, value)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"3071.0", b"3971.0"), (b'"shape": [8', b'"shape": [9'), (b"HU", b"Gy")],
)
def test_an_edit_that_makes_sense_is_refused_by_both_readers(tmp_path, old, new):
    path = tmp_path / "a.latent"
    data, header = small(path)
    quoted = [part.replace(b'"', b'\\"') for part in (old, new)]
    pair = quoted if quoted[0] in data[:header] else (old, new)
    assert pair[0] in data[:header]
    path.write_bytes(data.replace(*pair, 1))
    for function in (latents.read, latents.read_header):
        with pytest.raises(LatentError, match="header is not the one written"):
            function(path)


def test_a_file_from_before_headers_had_a_checksum_is_read(tmp_path):
    path = tmp_path / "a.latent"
    whole = latents.write(make(), path)
    header, tensors = take_apart(path.read_bytes())
    path.write_bytes(put_together(header, tensors))
    assert b"header_sha256" not in path.read_bytes()
    assert_same(latents.read(path), whole)


def test_the_header_checksum_can_be_had_without_plica(tmp_path):
    data, header = small(tmp_path / "a.latent")
    said = take_apart(data)[0]["__metadata__"]["header_sha256"]
    zeros = data[:header].replace(said.encode(), b"0" * 64)
    assert hashlib.sha256(zeros).hexdigest() == said


@pytest.mark.parametrize("said", ["\ud800", "0" * 63, "G" * 64, ""])
def test_a_checksum_of_other_letters_is_damage(tmp_path, said):
    path = tmp_path / "a.latent"
    latents.write(make(), path)
    header, tensors = take_apart(path.read_bytes())
    header["__metadata__"]["header_sha256"] = said
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    with pytest.raises(LatentError, match="damaged"):
        latents.read(path)


def test_a_newer_plicas_further_keys_are_no_damage(tmp_path):
    def renew(record, header):
        record["schema"] = 99
        header["__metadata__"]["signature"] = "new"

    with pytest.raises(LatentError, match="written by a newer plica"):
        latents.read(edit(tmp_path / "a.latent", renew))


def test_a_latent_is_not_written_like_a_series(tmp_path):
    with pytest.raises(OutputError, match="only DICOM is written like another"):
        write(make(), tmp_path / "a.latent", like=tmp_path)


def test_an_image_is_no_latent_and_is_told_to_be_encoded(tmp_path):
    write(latents.to_image(make()), tmp_path / "ct.nii.gz")
    with pytest.raises(LatentError, match=r"a NIfTI image, not a latent: encode it"):
        read_latent(tmp_path / "ct.nii.gz")


def test_a_file_of_no_known_kind_is_no_latent(tmp_path):
    (tmp_path / "a.bin").write_text("words, and no image\n")
    with pytest.raises(LatentError, match=r"a\.bin is no latent file"):
        read_latent(tmp_path / "a.bin")


def test_settings_of_the_codec_are_kept_where_there_are_some(tmp_path):
    latent = make()
    told = replace(latent, codec=replace(latent.codec, settings={"rate": 0.5, "way": "ward"}))
    write(told, tmp_path / "told.latent")
    write(latent, tmp_path / "silent.latent")

    assert read_latent(tmp_path / "told.latent").codec == told.codec
    assert b'"settings"' not in (tmp_path / "silent.latent").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"a b": 1},
        {"rate": [1]},
        {"rate": None},
        {"way": "w" * 300},
        {f"n{n}": n for n in range(100)},
    ],
)
def test_settings_that_no_codec_has_are_damage(settings, tmp_path):
    latent = make()
    write(replace(latent, codec=replace(latent.codec, settings=settings)), tmp_path / "n.latent")

    with pytest.raises(LatentError, match=r"codec\.settings"):
        read_latent(tmp_path / "n.latent")
    with pytest.raises(LatentError, match=r"codec\.settings"):
        latents.read_header(tmp_path / "n.latent")
