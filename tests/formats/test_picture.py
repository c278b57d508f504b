import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from plica.errors import (
    AmbiguousSource,
    InputError,
    PlicaError,
    TooLarge,
    UnreadableFile,
    UnsupportedFormat,
    UnusablePixels,
)
from plica.formats import picture
from plica.formats.picture_writing import write_png
from plica.grid import Grid
from plica.image import Image, Unit

tifffile = pytest.importorskip("tifffile")

WIDE, HIGH = 7, 5


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def encode_png(rows, kind, bits=None, data=None):
    """A PNG without filters, made from the standard: an independent writer."""
    rows = np.asarray(rows)
    high, wide = rows.shape[:2]
    big = np.ascontiguousarray(rows).astype(rows.dtype.newbyteorder(">"))
    lines = big.view(np.uint8).reshape(high, -1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    head = struct.pack(">IIBBBBB", wide, high, bits or 8 * rows.itemsize, kind, 0, 0, 0)
    body = zlib.compress(raw) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def read_bytes(tmp_path, data, name="a.png", **options):
    (tmp_path / name).write_bytes(data)
    return picture.read(tmp_path / name, **options)


def rows_of(image, page=0):
    """(row, column) or (row, column, channel), as a picture is kept."""
    rows = image.pixels[..., page].transpose(2, 1, 0)
    return rows[..., 0] if rows.shape[2] == 1 else rows


def noise(dtype, *shape):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def encode_tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


# -- place and unit ------------------------------------------------------------------------------


def test_columns_run_along_i_to_the_patients_left_and_rows_along_j_down(tmp_path):
    rows = np.zeros((HIGH, WIDE), np.uint8)
    rows[3, 1] = 9
    image = read_bytes(tmp_path, encode_png(rows, 0))

    assert image.pixels[0, 1, 3, 0] == 9
    assert image.grid.shape == (WIDE, HIGH, 1)
    assert image.grid.orientation == "LPS"
    assert not image.grid.calibrated


def test_a_spacing_from_the_caller_calibrates_the_grid(tmp_path):
    data = encode_png(np.zeros((HIGH, WIDE), np.uint8), 0)
    grid = read_bytes(tmp_path, data, spacing_mm=(0.1, 0.2, 1.0)).grid
    assert grid.calibrated
    assert np.allclose(grid.spacing_mm, (0.1, 0.2, 1.0))


def test_dots_per_inch_are_not_the_patients_and_noted(tmp_path):
    Pillow.fromarray(np.zeros((HIGH, WIDE), np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
    image = picture.read(tmp_path / "a.png")
    assert not image.grid.calibrated
    assert "dots per inch" in image.provenance.notes[0]


def test_eight_bits_are_for_display_and_sixteen_are_relative(tmp_path):
    assert read_bytes(tmp_path, encode_png(noise("u1", 5, 7), 0)).unit is Unit.DISPLAY
    assert read_bytes(tmp_path, encode_png(noise("u2", 5, 7), 0)).unit is Unit.RELATIVE
    assert read_bytes(tmp_path, encode_png(noise("u2", 5, 7, 3), 2)).unit is Unit.DISPLAY


# -- PNG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "kind"), [("u1", 0), ("u2", 0), ("u1", 2), ("u2", 2)])
def test_grey_and_colour_keep_all_their_bits(tmp_path, dtype, kind):
    rows = noise(dtype, HIGH, WIDE, 3) if kind == 2 else noise(dtype, HIGH, WIDE)
    image = read_bytes(tmp_path, encode_png(rows, kind))
    assert image.pixels.dtype == dtype
    assert np.array_equal(rows_of(image), rows)


@pytest.mark.parametrize(("dtype", "kind"), [("u1", 4), ("u1", 6), ("u2", 6)])
def test_transparency_goes_only_where_it_hides_nothing(tmp_path, dtype, kind):
    rows = noise(dtype, HIGH, WIDE, 2 if kind == 4 else 4)
    rows[..., -1] = np.iinfo(dtype).max
    image = read_bytes(tmp_path, encode_png(rows, kind))
    assert np.array_equal(rows_of(image), np.squeeze(rows[..., :-1]))

    rows[2, 2, -1] -= 1
    with pytest.raises(UnusablePixels, match="transparent"):
        read_bytes(tmp_path, encode_png(rows, kind))


def test_sixteen_bit_grey_with_transparency_is_refused_and_not_cut_to_eight(tmp_path):
    with pytest.raises(UnsupportedFormat, match="16 bits"):
        read_bytes(tmp_path, encode_png(noise("u2", HIGH, WIDE, 2), 4))


def test_a_colour_named_transparent_is_refused_where_it_occurs(tmp_path):
    rows = np.full((HIGH, WIDE), 7, np.uint8)
    pillow = Pillow.fromarray(rows)
    pillow.save(tmp_path / "a.png", transparency=9)
    assert np.array_equal(rows_of(picture.read(tmp_path / "a.png")), rows)
    pillow.save(tmp_path / "a.png", transparency=7)
    with pytest.raises(UnusablePixels):
        picture.read(tmp_path / "a.png")


def test_palettes_are_applied_and_grey_ones_stay_grey(tmp_path):
    index = noise("u1", HIGH, WIDE) % 4
    for palette, channels in (
        ([0, 0, 0, 9, 9, 9, 99, 99, 99, 255, 255, 255], 1),
        ([1, 2, 3] * 4, 3),
    ):
        pillow = Pillow.new("P", (WIDE, HIGH))
        pillow.putdata(index.ravel().tolist())
        pillow.putpalette(palette)
        pillow.save(tmp_path / "a.png")
        image = picture.read(tmp_path / "a.png")
        assert image.channels == channels
        expected = np.array(palette, np.uint8).reshape(4, 3)[index]
        assert np.array_equal(rows_of(image), expected[..., 0] if channels == 1 else expected)


def test_one_bit_becomes_black_and_white(tmp_path):
    data = encode_png(np.array([[0b10100000]], np.uint8), 0, bits=1)
    wide = data.replace(struct.pack(">II", 1, 1), struct.pack(">II", 3, 1), 1)
    head = wide[12:29]
    wide = wide[:29] + struct.pack(">I", zlib.crc32(head)) + wide[33:]
    image = read_bytes(tmp_path, wide)
    assert rows_of(image).ravel().tolist() == [255, 0, 255]


def test_an_animation_is_refused(tmp_path):
    frames = [Pillow.fromarray(noise("u1", HIGH, WIDE) // (n + 1)) for n in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedFormat, match="animated"):
        picture.read(tmp_path / "a.png")


# -- orientation ---------------------------------------------------------------------------------


def turned(rows, mark):
    """As the TIFF standard draws it: where row 0 and column 0 of the stored picture belong."""
    return {
        1: rows, 2: rows[:, ::-1], 3: rows[::-1, ::-1], 4: rows[::-1], 5: rows.T,
        6: np.rot90(rows, -1), 7: rows[::-1, ::-1].T, 8: np.rot90(rows),
    }[mark]  # fmt: skip


@pytest.mark.parametrize("mark", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_orientation_marks_turn_the_picture_upright(tmp_path, mark, name):
    rows = noise("u1", HIGH, WIDE)
    exif = Pillow.Exif()
    exif[0x0112] = mark
    Pillow.fromarray(rows).save(tmp_path / name, exif=exif)
    image = picture.read(tmp_path / name)
    assert np.array_equal(rows_of(image), turned(rows, mark))
    assert any("upright" in note for note in image.provenance.notes) == (mark != 1)


@pytest.mark.parametrize("mark", range(1, 9))
def test_photographs_are_turned_as_pillow_turns_them(tmp_path, mark):
    exif = Pillow.Exif()
    exif[0x0112] = mark
    Pillow.fromarray(noise("u1", HIGH, WIDE)).save(tmp_path / "a.jpg", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Pillow.open(tmp_path / "a.jpg")))
    assert np.array_equal(rows_of(picture.read(tmp_path / "a.jpg")), expected)


@pytest.mark.parametrize("mark", range(1, 9))
def test_deep_tiffs_are_turned_too(tmp_path, mark):
    rows = noise("u2", HIGH, WIDE)
    data = encode_tiff(rows, extratags=[(274, 3, 1, mark, True)])
    assert np.array_equal(rows_of(read_bytes(tmp_path, data, "a.tif")), turned(rows, mark))


# -- TIFF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4"])
def test_every_kind_of_tiff_keeps_its_values(tmp_path, order, compression, predictor, tile, dtype):
    rows = np.random.default_rng(2).normal(size=(21, 19)) * 100
    rows = rows.astype(dtype) if dtype[0] != "u" else np.abs(rows).astype(dtype)
    options = {"compression": compression, "predictor": predictor} if compression else {}
    data = encode_tiff(rows, byteorder=order, tile=tile, photometric="minisblack", **options)
    image = read_bytes(tmp_path, data, "a.tif")
    assert image.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(rows_of(image), rows)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colour_tiffs_keep_all_their_bits(tmp_path, dtype):
    rows = noise(dtype, HIGH, WIDE, 3)
    data = encode_tiff(rows, photometric="rgb", compression="zlib", predictor=True)
    assert np.array_equal(rows_of(read_bytes(tmp_path, data, "a.tif")), rows)


def test_white_is_zero_is_turned_round_and_noted(tmp_path):
    rows = noise("u2", HIGH, WIDE)
    image = read_bytes(tmp_path, encode_tiff(rows, photometric="miniswhite"), "a.tif")
    assert np.array_equal(rows_of(image), 65535 - rows)
    assert "white" in image.provenance.notes[-1]


def test_what_is_not_read_rightly_is_refused(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    assert imagecodecs
    data = encode_tiff(noise("i4", HIGH, WIDE), compression="lzw")
    with pytest.raises(UnsupportedFormat, match="LZW"):
        read_bytes(tmp_path, data, "a.tif")


def test_sixteen_bits_packed_by_lzw_are_read_and_turned(tmp_path):
    rows = noise("u2", HIGH, WIDE)
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(rows).save(tmp_path / "a.tif", compression="tiff_lzw", exif=exif)
    image = picture.read(tmp_path / "a.tif")
    assert image.pixels.dtype == np.uint16
    assert np.array_equal(rows_of(image), turned(rows, 6))


def with_tag(data, number, value, page=0):
    """A TIFF of which one page's directory says another value under a tag."""
    at = struct.unpack("<I", data[4:8])[0]
    for _ in range(page):
        behind = at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]
        at = struct.unpack("<I", data[behind : behind + 4])[0]
    entries = range(at + 2, at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0], 12)
    entry = next(one for one in entries if struct.unpack("<H", data[one : one + 2])[0] == number)
    return data[: entry + 8] + struct.pack("<I", value) + data[entry + 12 :]


@pytest.mark.parametrize(
    ("tag", "value", "error", "words"),
    [
        (258, 12, UnsupportedFormat, "samples of 12 bits"),
        (259, 32773, UnsupportedFormat, "TIFF compression 32773 at 16 bits"),
        (317, 3, UnsupportedFormat, "TIFF predictor 3 on uint16"),
        (278, 0, UnreadableFile, r"7 × 5 pixels in blocks of \(0, 7\)"),
        (278, 1, UnreadableFile, "needs 5 strips or tiles and lists 1"),
        (279, 12, UnreadableFile, "a strip or tile ends early"),
    ],
)
def test_deep_pages_whose_tags_fit_no_picture_are_refused(tmp_path, tag, value, error, words):
    data = encode_tiff(noise("u2", HIGH, WIDE), compression="zlib", predictor=True)
    with pytest.raises(error, match=words):
        read_bytes(tmp_path, with_tag(data, tag, value), "a.tif")


def test_colours_in_planes_apart_are_refused_at_sixteen_bits(tmp_path):
    rows = noise("u2", 3, HIGH, WIDE)
    data = encode_tiff(rows, photometric="rgb", planarconfig="separate")
    with pytest.raises(UnsupportedFormat, match="planes apart"):
        read_bytes(tmp_path, data, "a.tif")


@pytest.mark.parametrize(("dtype", "samples"), [("u1", 2), ("u1", 5), ("u2", 2)])
def test_samples_of_no_said_meaning_are_refused_and_not_dropped(tmp_path, dtype, samples):
    rows = noise(dtype, HIGH, WIDE, samples)
    data = encode_tiff(rows, photometric="minisblack", planarconfig="contig")
    with pytest.raises(UnsupportedFormat, match=r"LX|no reader for"):
        read_bytes(tmp_path, data, "a.tif")


def test_pages_in_grey_and_in_colour_ask_for_a_choice(tmp_path):
    pages = []
    for palette in ([0, 0, 0, 9, 9, 9], [0, 0, 0, 1, 2, 3]):
        page = Pillow.new("P", (WIDE, HIGH))
        page.putpalette(palette)
        page.putpixel((1, 1), 1)
        pages.append(page)
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(AmbiguousSource, match="in grey and in colour"):
        picture.read(tmp_path / "a.tif")
    assert [picture.read(tmp_path / "a.tif", volume=at).channels for at in (0, 1)] == [1, 3]


def test_an_empty_page_among_others_is_refused(tmp_path):
    data = encode_tiff(noise("u2", 2, HIGH, WIDE), photometric="minisblack")
    with pytest.raises(UnreadableFile, match="0 × 5 pixels"):
        read_bytes(tmp_path, with_tag(data, 256, 0, page=1), "a.tif", volume=1)


def test_more_pages_than_any_study_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "_MAX_PAGES", 3)
    data = encode_tiff(noise("u1", 4, HIGH, WIDE), photometric="minisblack")
    with pytest.raises(TooLarge, match="more than 3 pages"):
        read_bytes(tmp_path, data, "a.tif")


def test_pages_of_one_size_stack_along_k(tmp_path):
    pages = noise("u2", 4, HIGH, WIDE)
    data = encode_tiff(pages, photometric="minisblack")
    image = read_bytes(tmp_path, data, "a.tif")
    assert image.grid.shape == (WIDE, HIGH, 4)
    for at in range(4):
        assert np.array_equal(rows_of(image, at), pages[at])
    one = picture.read(tmp_path / "a.tif", volume=2)
    assert np.array_equal(rows_of(one), pages[2])


def test_pages_of_several_sizes_ask_for_a_choice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(noise("u2", HIGH, WIDE), metadata=None)
        file.write(noise("u2", HIGH + 1, WIDE), metadata=None)
    with pytest.raises(AmbiguousSource, match="volume=0"):
        picture.read(tmp_path / "a.tif")
    assert picture.read(tmp_path / "a.tif", volume=1).grid.shape == (WIDE, HIGH + 1, 1)


# -- plica's own comment -------------------------------------------------------------------------


def own_png(tmp_path):
    pixels = np.linspace(-1000, 2000, 35).reshape(1, WIDE, HIGH, 1).astype("i2")
    image = Image(pixels, Grid.from_spacing((WIDE, HIGH, 1), (-0.5, -0.5, 2)), Unit.HU)
    write_png(image, tmp_path / "own.png")
    return image, (tmp_path / "own.png").read_bytes()


def test_a_cropped_picture_of_ours_is_refused(tmp_path):
    own_png(tmp_path)
    pillow = Pillow.open(tmp_path / "own.png")
    text = pillow.info["plica"]
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("plica", text)
    Pillow.fromarray(np.asarray(pillow)[:-1]).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(UnreadableFile, match="cropped or resized"):
        picture.read(tmp_path / "a.png")


def test_our_picture_knows_its_own_spacing(tmp_path):
    own_png(tmp_path)
    with pytest.raises(InputError, match="own spacing"):
        picture.read(tmp_path / "own.png", spacing_mm=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"plica": 1', b'"plica": 9'),
        (b'"unit": "HU"', b'"unit": "ZZ"'),
        (b'"slope": 1.0', b'"slope": 0.0'),
        (b'"slope": 1.0', b'"slope": NaN'),
        (b'"slope": 1.0', b'"slope": "a'),
        (b'"slope": 1.0', b'"slope": 1e999'),
        (b'"slope": 1.0', b'"slope": 1' + b"0" * 400),
        (b'"slope": 1.0', b'"steep": 1.0'),
        (b'"dtype": "int16"', b'"dtype": "uint8"'),
        (b'"dtype": "int16"', b'"dtype": "evil1"'),
        (b'"dtype": "int16"', b'"dtype": "int08"'),
        (b'"calibrated": true', b'"calibrated": 1234'),
    ],
)
def test_a_comment_that_was_edited_is_refused(tmp_path, old, new):
    _, data = own_png(tmp_path)
    start = data.index(b"tEXt")
    size = struct.unpack(">I", data[start - 4 : start])[0]
    text = data[start + 4 : start + 4 + size].replace(old, new)
    assert old in data
    edited = data[: start - 4] + chunk(b"tEXt", text) + data[start + 8 + size :]
    with pytest.raises(UnreadableFile):
        read_bytes(tmp_path, edited)


def test_somebody_elses_comment_is_left_alone(tmp_path):
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("plica", "is Latin for a fold")
    Pillow.fromarray(noise("u1", HIGH, WIDE)).save(tmp_path / "a.png", pnginfo=info)
    assert picture.read(tmp_path / "a.png").unit is Unit.DISPLAY


# -- bad files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_files_cut_anywhere_are_refused(tmp_path, name):
    Pillow.fromarray(noise("u1", 40, 50)).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for kept in range(0, len(whole) * 9 // 10, 97):
        (tmp_path / f"cut{name}").write_bytes(whole[:kept])
        with pytest.raises(PlicaError):
            picture.read(tmp_path / f"cut{name}")


@pytest.mark.parametrize("sides", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (60_000, 60_000)])
def test_a_png_bomb_is_refused_by_its_header(tmp_path, sides):
    data = encode_png(np.zeros((1, 1), np.uint8), 0, data=zlib.compress(bytes(1 << 20)))
    head = b"IHDR" + struct.pack(">II", *sides) + data[24:29]
    bomb = data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    with pytest.raises(TooLarge):
        read_bytes(tmp_path, bomb)


def test_a_png_without_pixels_is_refused(tmp_path):
    data = encode_png(noise("u1", HIGH, WIDE), 0)
    start = data.index(b"IDAT") - 4
    size = struct.unpack(">I", data[start : start + 4])[0]
    with pytest.raises(UnreadableFile, match="damaged"):
        read_bytes(tmp_path, data[:start] + data[start + 12 + size :])


def test_a_picture_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        picture.read(tmp_path / "gone.png")


def test_cmyk_is_refused(tmp_path):
    Pillow.new("CMYK", (WIDE, HIGH)).save(tmp_path / "a.jpg")
    with pytest.raises(UnsupportedFormat, match="CMYK"):
        picture.read(tmp_path / "a.jpg")


def test_real_pictures_read_as_pillow_reads_them(shared):
    files = [
        file
        for file in sorted((shared / "data").rglob("*"))
        if file.suffix.lower() in {".png", ".jpg", ".jpeg"}
    ]
    assert len(files) > 50
    for file in files[::6]:
        assert np.array_equal(rows_of(picture.read(file)), np.asarray(Pillow.open(file))), file.name
