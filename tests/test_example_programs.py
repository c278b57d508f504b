"""The example programs that encode a study and judge codecs do what they say."""

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.docs.scenes import lay_pictures
from tests.test_examples import EXAMPLES, load_example

import plica
from plica.errors import InputError

SERIES = Path(find_spec("pydicom").origin).parent / "data/test_files/dicomdirtests/98892001"


def test_every_series_of_a_zip_becomes_a_latent(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as packed:
        for name in ("CT5N", "CT2N"):
            for file in (SERIES / name).iterdir():
                packed.write(file, f"{name}/{file.name}")
        packed.writestr("README.TXT", "a viewer is on this disc")

    load_example("encode_study").main([str(tmp_path / "export.zip"), str(tmp_path / "out")])

    latents = [plica.read_latent(path) for path in sorted((tmp_path / "out").rglob("*.latent"))]
    source = plica.read(SERIES / "CT5N")
    assert any(latent.source.agrees_with(source.grid) for latent in latents)
    assert capsys.readouterr().out.count("fewer values") == len(latents)


def test_what_cannot_be_read_is_counted_and_the_rest_is_done(tmp_path, capsys):
    lay_pictures(tmp_path, count=1, side=32)
    (tmp_path / "images" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    failed = load_example("encode_study").main(
        [str(tmp_path / "images"), str(tmp_path / "out"), "--codec", "linear-4x1-2d"]
    )

    assert failed == 1
    assert "failed: cut" in capsys.readouterr().err
    assert (tmp_path / "out" / "0.latent").is_file()


def test_codecs_are_compared_on_the_same_images_patient_by_patient(tmp_path, capsys):
    pytest.importorskip("scipy")
    lay_pictures(tmp_path, count=8, side=64)
    words = ["--codec", "linear-4x3-2d", "--against", "nearest-8x-2d"]

    compared = load_example("judge_codec").main([str(tmp_path / "cases.csv"), *words])

    by_metric = {one.like.metric: one for one in compared}
    assert set(by_metric) == {"psnr", "mae"}
    assert by_metric["psnr"].difference.patients == 8
    assert by_metric["psnr"].difference.value > 0 > by_metric["mae"].difference.value
    assert "64 voxels per code" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("absent.csv --codec linear-4x1-2d --against bicubic-4x-2d", "absent.csv cannot be read"),
        ("cases.csv --codec linear-4x1-2d --against bicubic-4x-22d", "bicubic-4x-2d"),
        ("cases.csv --codec linear-4x1-2d --against linear-4x1-2d", "compared with itself"),
    ],
)
def test_judging_ends_in_a_sentence_where_it_cannot_begin(words, said, tmp_path):
    lay_pictures(tmp_path, count=1, side=32)
    command = [sys.executable, EXAMPLES / "judge_codec.py", *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr


def test_a_codec_named_on_both_sides_is_judged_once(tmp_path, capsys):
    pytest.importorskip("scipy")
    lay_pictures(tmp_path, count=2, side=32)
    words = ["--codec", "nearest-4x-2d", "linear-4x1-2d", "--against", "nearest-4x-2d"]
    compared = load_example("judge_codec").main([str(tmp_path / "cases.csv"), *words])
    assert {one.codec for one in compared} == {"linear-4x1-2d"}
    assert capsys.readouterr().out.count("nearest-4x-2d  psnr") == 1


def test_a_table_of_labels_without_rows_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("path,patient,finding\n")
    with pytest.raises(InputError, match=r"a\.csv has no rows"):
        load_example("train_on_store").main([str(tmp_path), str(tmp_path / "a.csv")])
