"""A folder of latents, several of them, or a store: one table of what they are."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from plica.cli.main import app
from plica.errors import SettingsError, UnreadableFile
from plica.formats import latents
from plica.formats.doors import write
from plica.formats.store import Store
from plica.formats.store_paths import LEDGER
from plica.grid import Grid
from plica.image import Image, Provenance
from plica.latent import CodecIdentity, Latent

GRID = Grid.from_spacing((4, 4, 2))
CODEC = CodecIdentity("linear", "sha256:0", {})
LATENT = Latent(
    np.zeros((1, 4, 4, 2), np.float32), CODEC, GRID, (1, 1, 1), GRID,
    provenance=Provenance(series="0123456789abcdef"),
)  # fmt: skip


def run(*words: object):
    return CliRunner().invoke(app, ["inspect", *map(str, words)])


@pytest.fixture
def folder(tmp_path):
    latents.write(LATENT, tmp_path / "out" / "a.latent")
    bare = replace(LATENT, provenance=LATENT.provenance.without_marks())
    latents.write(bare, tmp_path / "out" / "deep" / "b.latent")
    return tmp_path / "out"


def test_latents_are_listed_with_marks_identity_and_checksums(folder):
    for given in ([folder], [folder / "a.latent", folder / "deep" / "b.latent"]):
        done = run(*given)
        assert done.exit_code == 0, done.output
        said = " ".join(done.stdout.split())
        assert "2 latents" in said
        assert "linear 1 on 4×4×2" in said
        assert "0123456789abcdef none header right, numbers right" in said
    records = json.loads(run(folder, "--json").stdout)
    assert [one["file"] for one in records["latents"]] == ["a.latent", "deep/b.latent"]
    assert records["latents"][1]["provenance"]["series"] == ""
    assert records["damaged"] == []


def test_one_damaged_latent_is_named_and_hides_no_other(folder):
    bad = folder / "deep" / "b.latent"
    bad.write_bytes(bad.read_bytes()[:-1] + b"\7")
    done = run(folder)
    assert done.exit_code == 1
    assert "2 latents, 1 damaged" in done.stdout
    assert "b.latent" in done.stderr
    records = json.loads(run(folder, "--json").stdout)
    assert [one["file"] for one in records["damaged"]] == ["deep/b.latent"]


def test_several_files_are_latents_alone(folder, tmp_path):
    write(Image(np.zeros((1, 4, 4, 2), np.int16), GRID), tmp_path / "a.nii.gz")
    refused = run(folder, tmp_path / "a.nii.gz")
    assert isinstance(refused.exception, SettingsError)
    assert "a.nii.gz is none: give it by itself" in str(refused.exception)


def test_a_store_says_what_it_is_and_which_commands_look_into_it(tmp_path):
    Store.create(tmp_path / "rx.store", codec=CODEC)
    done = run(tmp_path / "rx.store")
    assert done.exit_code == 0, done.output
    assert "a store of latents of linear" in " ".join(done.stdout.split())
    assert "note: `plica bulk verify " in done.stderr
    assert "plica bulk status" not in done.stderr  # which asks a ledger, and there is none
    (tmp_path / "rx.store" / LEDGER).touch()
    assert "note: `plica bulk status " in run(tmp_path / "rx.store").stderr
    (tmp_path / "rx.store" / LEDGER).unlink()
    record = json.loads(run(tmp_path / "rx.store", "--json").stdout)
    assert (record["codec"], record["dtype"], record["shards"]) == ("linear", "float16", 0)
    assert record["paths"] == ""
    assert "plica bulk verify" in str(run(tmp_path / "rx.store", "--check").exception)
    (tmp_path / "rx.store" / "store.json").write_text("{}")
    assert isinstance(run(tmp_path / "rx.store").exception, UnreadableFile)


def test_a_store_says_where_it_holds_paths(tmp_path):
    Store.create(tmp_path / "kp.store", codec=CODEC, settings={"paths": True})
    (tmp_path / "kp.store" / "ledger.sqlite").touch()
    said = " ".join(run(tmp_path / "kp.store").stdout.split())
    assert "paths, which may name patients in index/ and ledger.sqlite" in said
