"""plica export: from a run to a codec's folder, and from there to the hub and back."""

import json

import pytest
from tests.cli.trainings import write_cohort, write_recipe
from typer.testing import CliRunner

import plica
from plica.cli.main import app
from plica.errors import OutputError, SettingsError, UnknownName


def call(*words):
    return CliRunner().invoke(
        app, [str(word) for word in words], catch_exceptions=False, standalone_mode=False
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    recipe, table = write_recipe(folder), write_cohort(folder / "images")
    call("train", recipe, "--data", table, "-o", folder / "run", "-q", "--set", "steps=2")
    return folder / "run"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub in a folder: what is uploaded lies there and is found again."""
    held = tmp_path / "hub"

    class Api:
        def create_repo(self, repo_id, *, exist_ok):
            from huggingface_hub.utils import validate_repo_id

            validate_repo_id(repo_id)
            (held / repo_id).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
            for name in allow_patterns:
                (held / repo_id / name).write_bytes((folder_path / name).read_bytes())

    def hf_hub_download(repo_id, filename, *, revision=None):
        if not (held / repo_id / filename).is_file():
            raise OSError(f"404: {repo_id}@{revision}")
        return str(held / repo_id / filename)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("plica.codecs.fetching.can_reach", lambda address: True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    return held


def test_a_run_becomes_a_folder_that_load_takes(run, tmp_path):
    done = call("export", run, "-o", tmp_path / "codec", "--json")

    said = json.loads(done.stdout)
    assert {path.name for path in (tmp_path / "codec").iterdir()} == {
        "card.json", "weights.safetensors", "README.md",
    }  # fmt: skip
    assert plica.load(tmp_path / "codec").card.name == said["codec"] == "small"
    assert {one["metric"] for one in said["metrics"]} == {"psnr", "mae", "ssim"}


def test_the_summary_says_how_good_it_is_and_how_to_load_it(run, tmp_path):
    done = call("export", run, "-o", tmp_path / "codec", "--checkpoint", "last")

    assert "after" in done.stdout
    assert "n = 2, dev-test" in done.stdout
    assert f'plica.load("{tmp_path / "codec"}")' in done.stdout


def test_a_bare_name_is_said_as_a_folder_since_a_codec_may_have_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("export", run, "-o", "small")
    assert 'plica.load("./small") or --codec ./small' in done.stdout


def test_quiet_says_nothing(run, tmp_path):
    assert call("export", run, "-o", tmp_path / "codec", "--quiet").output == ""
    assert (tmp_path / "codec" / "card.json").is_file()


def test_a_codec_goes_to_the_hub_and_comes_back(run, tmp_path, hub):
    done = call("export", run, "-o", tmp_path / "codec", "--push", "someone/small", "--json")

    assert json.loads(done.stdout)["hub"] == "https://huggingface.co/someone/small"
    there = plica.load("hub:someone/small@main")
    assert there.fingerprint == plica.load(tmp_path / "codec").fingerprint
    assert "# small" in call("card", "hub:someone/small").stdout
    with pytest.raises(UnknownName, match="hub:owner/name@revision"):
        plica.load("hub:small")


def test_a_name_the_hub_has_not_is_refused_and_the_folder_stays(run, tmp_path, hub):
    with pytest.raises(SettingsError, match="owner/name"):
        call("export", run, "-o", tmp_path / "codec", "--push", "a/b/c")
    assert (tmp_path / "codec" / "card.json").is_file()


def test_a_hub_that_refuses_leaves_the_folder_and_says_so(run, tmp_path, hub, monkeypatch):
    def refuse(*_, **__):
        raise OSError("401 Client Error: log in first\nand a page of advice")

    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", refuse)
    with pytest.raises(OutputError, match=r"is written, but .* 401 Client Error: log in first$"):
        call("export", run, "-o", tmp_path / "codec", "--push", "someone/small")


def test_a_checkpoint_is_best_or_last(run, tmp_path):
    with pytest.raises(SettingsError, match="best or last"):
        call("export", run, "-o", tmp_path / "codec", "--checkpoint", "step-2")
