"""What a shell completes: the words of the real script in a real bash, and each option's values."""

import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from plica.cli import completing, judging_options, options
from plica.codecs.catalogue import CODECS
from plica.codecs.policy import Outside
from plica.codecs.preparing import Pipeline, SliceAxis
from plica.codecs.running import Tiling
from plica.networks.probes import PROBES

MAIN = "import sys; sys.argv[0] = 'plica'; from plica.cli.main import main; main()"
AFTER = "import atexit; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr));"


def complete(*words: str, shell: str = "bash", program: str = MAIN, **variables: str):
    asked = {
        "_PLICA_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "\n".join(("plica", *words)),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(("plica", *words)),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def offered(*words: str) -> list[str]:
    done = complete(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


def test_commands_options_and_values_are_completed():
    assert offered("enc") == ["encode"]
    assert offered("evaluate", "re") == ["reconstruction"]
    assert offered("encode", "--device") == ["--device", "--device-memory"]
    assert "auto" in offered("encode", "--codec", "")
    assert offered("encode", "x", "-c", "compact-4x3") == ["compact-4x3-2d"]
    assert offered("train", "compact-4x3-2") == ["compact-4x3-2d"]
    assert "cmmd-malignancy" in offered("evaluate", "protocols", "cmmd")
    assert offered("encode", "--unit", "rel") == ["relative"]
    assert offered("encode", "--dtype", "bf") == ["bfloat16"]
    assert offered("encode", "--axis", "cor") == ["coronal"]
    assert offered("reconstruct", "--windows", "wide,s") == ["wide,soft"]


def test_words_that_bash_parts_are_one():
    assert offered("encode", "-c", "stitched", ":", "compact-4x3") == ["compact-4x3-2d"]
    assert offered("encode", "--axis", "=", "s") == ["sagittal"]
    assert offered("encode", "--device", "cuda", ":") == ["0", "1"]


def test_a_second_value_of_an_option_is_completed_like_the_first():
    words = ("evaluate", "reconstruction", "x", "-c", "bicubic-4x-2d", "compact-4x3")
    assert offered(*words) == ["compact-4x3-2d"]


@pytest.mark.parametrize(
    "words",
    [("encode", ""), ("encode", "x", "-o", "y"), ("nonsense", "--co"), ("evaluate", "é")],
)
def test_what_is_no_word_of_ours_is_left_to_the_shell(words):
    done = complete(*words)
    assert done.stdout.split() == []
    assert done.stderr == ""


def test_the_other_shells_are_answered_in_their_own_words():
    assert '"encode":"Fold images into latents."' in complete("enc", shell="zsh").stdout
    assert complete("enc", shell="fish").stdout.split("\t")[0] == "encode"
    inside = complete("encode", "--codec", "stitched:compact-4x3", shell="zsh").stdout
    assert "stitched\\\\:compact-4x3-2d" in inside or "stitched:compact-4x3-2d" in inside


def test_what_makes_no_sense_is_answered_with_silence():
    for variables in ({"COMP_CWORD": "x"}, {"_PLICA_COMPLETE": "complete_nothing"}):
        done = complete("enc", **variables)
        assert (done.stdout, done.stderr) == ("", "")


def test_no_network_is_imported_for_it():
    done = complete("encode", "-c", "med", program=MAIN.replace("sys;", "sys;" + AFTER, 1))
    assert done.stderr.strip() == "False"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_a_real_bash_completes_a_line_with_the_script_that_is_shown(tmp_path: Path):
    program = tmp_path / "plica"
    program.write_text(f"#!{sys.executable}\n{MAIN}\n")
    program.chmod(0o755)
    script = f"""
    export PATH='{tmp_path}':"$PATH"
    eval "$(_PLICA_COMPLETE=source_bash plica)"
    COMP_WORDS=(plica encode ct -c stitched : compact-4x3)
    COMP_CWORD=6
    $(complete -p plica | sed 's/.*-F \\([^ ]*\\).*/\\1/') plica
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("compact-4x3-2d\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_is_shown(shell):
    done = complete(program=MAIN, _PLICA_COMPLETE=f"source_{shell}")
    assert "_PLICA_COMPLETE=complete_" in done.stdout


def test_the_words_offered_are_those_that_are_taken():
    for words, kind in (
        (options.AXES, SliceAxis),
        (options.TILINGS, Tiling),
        (options.PIPELINES, Pipeline),
        (options.OUTSIDES, Outside),
    ):
        assert set(words) == set(typing.get_args(kind))
    assert set(judging_options.PROBES) == set(PROBES)
    assert set(CODECS) < set(completing.codecs(""))


@pytest.mark.parametrize(
    ("completion", "typed", "offered"),
    [
        (completing.one_of("float32", "float16"), "float1", {"float16"}),
        (completing.some_of("wide", "soft"), "wide,s", {"wide,soft"}),
        (completing.codecs, "stit", {"stitched:"}),
        (completing.codecs, "stitched:linear-4x1", {"stitched:linear-4x1-2d"}),
        (completing.codecs_or_auto, "au", {"auto"}),
        (completing.recipes, "medvae-4x1-2d-s", {"medvae-4x1-2d-stage1", "medvae-4x1-2d-stage2"}),
        (completing.protocols, "medvae-table-1-2", {"medvae-table-1-2d"}),
        (completing.tasks, "cmmd-m", {"cmmd-malignancy"}),
        (completing.protocols_or_tasks, "cmmd-m", {"cmmd-malignancy"}),
        (completing.metrics, "ms-s", {"ms-ssim"}),
        (completing.features, "codec:linear-4x1-3", {"codec:linear-4x1-3d"}),
        (completing.units, "HU", {"HU"}),
    ],
)
def test_what_begins_as_typed_is_offered(completion, typed, offered):
    assert set(completion(typed)) == offered


@pytest.mark.parametrize("command", ["codecs", "card"])
def test_cards_are_offered_of_stitched_codecs_too(command):
    assert offered(command, "stitched", ":", "linear-4x1") == ["linear-4x1-2d"]
