#!/usr/bin/env python3
"""Install the wheel in fresh environments, the core alone and each extra alone, and use it there.

For every Python that is found: a virtual environment gets the wheel and its core dependencies, runs
the demo and the tests that need no more. Then every extra gets an environment of its own above
that one (its packages are seen, nothing is written to it), and runs the tests that belong to it.
`--write` puts what came of it into docs/installing.md.

    python ci/packaging.py --pythons 3.11 3.12 3.13 --write

torch comes from wherever pip finds it; with CUDA it takes several GB for each Python, which
`--constraint` with another build, or `--core` with an environment that has it already, may spare.
Environments are removed when they have been used. `--keep FILE` keeps what came of them, one line
each, and takes from there what it does not try itself, so that Pythons can be gone through singly;
without it, the table has what this run tried and no more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "installing.md"
RUNNER = ("pytest>=8.2", "hypothesis>=6.100", "beartype==0.23.1")
LEAST_FREE = 12 << 30
QUIETLY = ("--quiet", "--disable-pip-version-check", "--no-compile")

# What each may run with the packages it brings and no others: tests, or a command of ours.
CORE = (
    "tests/test_boxes.py", "tests/test_errors.py", "tests/test_errors_travel.py",
    "tests/test_grid.py", "tests/test_image.py", "tests/test_latent.py", "tests/test_registry.py",
    "tests/test_run.py", "tests/test_settings.py", "tests/test_tables.py",
    "tests/formats/test_affines.py", "tests/formats/test_array.py", "tests/formats/test_atomic.py",
    "tests/formats/test_doors.py", "tests/formats/test_latents.py",
    "tests/formats/test_metaimage.py", "tests/formats/test_nifti.py",
    "tests/formats/test_picture.py", "tests/formats/test_sniff.py", "tests/formats/test_sources.py",
    "tests/preparation/test_box.py", "tests/preparation/test_pad.py",
    "tests/preparation/test_reorient.py", "tests/preparation/test_trail.py",
    "tests/preparation/test_window.py", "tests/codecs/test_card.py", "tests/codecs/test_compact.py",
    "tests/codecs/test_linear.py", "tests/codecs/test_tiling.py", "tests/networks/test_kl.py",
    "tests/networks/test_vq.py", "tests/networks/test_tiny.py", "tests/cli/test_card.py",
)  # fmt: skip
PROOFS: dict[str, tuple[str, ...]] = {
    "core": CORE,
    "codecs": ("tests/codecs/test_bitstream.py",),
    "eval": (
        "tests/evaluation/test_bootstrap.py", "tests/evaluation/test_charts.py",
        "tests/evaluation/test_mixed.py", "tests/evaluation/test_controls.py",
        "tests/metrics/test_surfaces.py",
    ),
    "cad": ("tests/networks/test_probes.py", "tests/augmentation/test_segmenting.py"),
    "foundation": ("tests/codecs/test_foundation.py", "tests/networks/test_cogvideox.py"),
    "interop": ("tests/test_image.py", "tests/augmentation/test_transform.py"),
    "demo": ("plica demo",),
    "nnunet": ("tests/augmentation/test_nnunet.py",),
    "minc": ("tests/formats/test_minc.py",),
    "train": ("tests/training/test_engine.py", "tests/training/test_logs.py"),
    "tables": ("tests/test_tables.py", "tests/formats/test_store.py"),
    "bulk": ("tests/bulk/test_engine.py", "tests/formats/test_store.py"),
    "all": ("plica doctor", "tests/test_image.py", "tests/evaluation/test_charts.py"),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of one environment.

    Args:
        python: Its version, such as "3.13".
        extra: "core", or the extra it has beside the core.
        torch: Its version; "" where it is not known.
        installed: Whether pip installed it.
        megabytes: What it takes on disk, beside the core's.
        passed: Tests that passed; -1 where it ran a command instead.
        skipped: Tests that were skipped.
        seconds: Of the tests.
        fault: The last words of what failed; "" where nothing did.
    """

    python: str
    extra: str
    torch: str
    installed: bool
    megabytes: int
    passed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    fault: str = ""


def main() -> int:
    """Build, install, use, tell; 1 where something failed."""
    asked = read_words()
    known = ("core", *read_extras())
    work = Path(tempfile.mkdtemp(prefix="plica-packaging-", dir=asked.work))
    kept, fresh = read_kept(asked.keep), 0
    try:
        wheel = build(work)
        for version in asked.pythons:
            tried = [*(asked.extras or known)]
            for outcome in go_through(version, wheel, work, tried, core=asked.core):
                kept[version, outcome.extra] = outcome
                fresh += 1
                print(json.dumps(asdict(outcome)), flush=True)
                write_kept(asked.keep, kept.values())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not fresh:
        sys.exit("nothing was tried: no Python that was asked for is here")
    outcomes = arrange(kept.values(), known)
    if asked.write:
        write(outcomes)
    return int(any(outcome.fault for outcome in outcomes))


def read_words() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pythons", nargs="+", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--extras", nargs="*", help="these alone; all, and the core, if not given")
    parser.add_argument("--work", type=Path, help="where environments are made; a temporary folder")
    parser.add_argument("--core", type=Path, help="an environment with the core, for one Python")
    parser.add_argument("--constraint", action=Constraint, help="as pip takes it")
    parser.add_argument("--keep", type=Path, help="file of what came of each environment")
    parser.add_argument("--write", action="store_true", help="the table in docs/installing.md")
    return parser.parse_args()


class Constraint(argparse.Action):
    """A file that every installation in this run heeds."""

    def __call__(
        self, parser: object, namespace: object, values: object, option_string: object = None
    ) -> None:
        """By pip's own variable, which its children see."""
        os.environ["PIP_CONSTRAINT"] = str(Path(str(values)).resolve())


def read_kept(file: Path | None) -> dict[tuple[str, str], Outcome]:
    """What an earlier run kept."""
    if file is None or not file.is_file():
        return {}
    found = [Outcome(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    return {(one.python, one.extra): one for one in found}


def write_kept(file: Path | None, outcomes: Iterable[Outcome]) -> None:
    """One line each."""
    if file is not None:
        file.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in outcomes), "utf-8")


def arrange(outcomes: Iterable[Outcome], known: Sequence[str]) -> list[Outcome]:
    """Those of the core and of extras that there still are, in their order, then by Python."""
    order = {name: place for place, name in enumerate(known)}
    there = [one for one in outcomes if one.extra in order]
    return sorted(there, key=lambda one: (order[one.extra], number(one.python)))


def read_extras() -> list[str]:
    """Those for users, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name not in {"test", "dev"}]
    if lacking := set(extras) ^ (set(PROOFS) - {"core"}):
        sys.exit(f"PROOFS and pyproject.toml differ in {sorted(lacking)}")
    return extras


# -- environments --------------------------------------------------------------------------------


def build(work: Path) -> Path:
    """The wheel, in an environment that has the build tool alone."""
    python = make_environment(sys.executable, work / "build")
    install(python, "build")
    run([python, "-m", "build", "--outdir", work / "dist", ROOT]).check_returncode()
    (wheel,) = (work / "dist").glob("*.whl")
    return wheel


def go_through(
    version: str, wheel: Path, work: Path, extras: Sequence[str], *, core: Path | None = None
) -> Iterator[Outcome]:
    """The core's environment of one Python, and above it each extra's."""
    interpreter = find_python(version)
    if interpreter is None:
        print(f"no Python {version} here", file=sys.stderr)
        return
    place = core or work / f"{version}-core"
    python = place / "bin" / "python" if core else make_environment(interpreter, place)
    runner = work / f"{version}-runner"  # beside all environments, seen by their tests alone
    try:
        if (done := install(python, str(wheel))).returncode:
            yield Outcome(version, "core", "", False, 0, fault=last_words(done))
            return
        if core is not None:  # which may have another wheel of this version
            install(python, "--force-reinstall", "--no-deps", str(wheel)).check_returncode()
        install(python, "--target", str(runner), *RUNNER).check_returncode()
        asked = run([python, "-c", "import torch; print(torch.__version__)"])
        torch = asked.stdout.strip()
        if "core" in extras:
            fresh = Outcome(version, "core", torch, True, measure(place))
            yield prove(fresh, python, ["plica demo", *PROOFS["core"]], runner)
        for extra in extras:
            if extra != "core":
                yield try_extra(version, extra, torch, wheel=wheel, core=place, runner=runner)
    finally:
        if core is None:
            shutil.rmtree(place, ignore_errors=True)


def try_extra(
    version: str, extra: str, torch: str, *, wheel: Path, core: Path, runner: Path
) -> Outcome:
    """One extra in an environment of its own."""
    if shutil.disk_usage(runner.parent).free < LEAST_FREE:
        return Outcome(version, extra, torch, False, 0, fault="too little free disk to try it")
    place = runner.parent / f"{version}-{extra}"
    python = make_environment(core / "bin" / "python", place, above=core)
    try:
        bare = measure(place)
        what = f"plica[{extra}] @ {wheel.as_uri()}"
        done = install(core / "bin" / "python", "--python", str(python), what)
        size = measure(place) - bare
        outcome = Outcome(version, extra, torch, not done.returncode, size)
        return (
            prove(outcome, python, PROOFS[extra], runner)
            if outcome.installed
            else replace(outcome, fault=last_words(done))
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def find_python(version: str) -> str | None:
    """An interpreter of that version: on the path, or among pyenv's."""
    if found := shutil.which(f"python{version}"):
        said = run([found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        if said.stdout.strip() == version:
            return found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = sorted((root / "versions").glob(f"{version}.*/bin/python"))
    return str(places[-1]) if places else None


def make_environment(interpreter: str | Path, place: Path, above: Path | None = None) -> Path:
    """A fresh one; above another, what is installed there is seen, after its own."""
    options = () if above is None else ("--without-pip",)
    run([interpreter, "-m", "venv", *options, place]).check_returncode()
    if above is not None:
        (mine,), (theirs,) = (list(p.glob("lib/python*/site-packages")) for p in (place, above))
        (mine / "core.pth").write_text(f"{theirs}\n", encoding="utf-8")
    return place / "bin" / "python"


def install(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """By this environment's pip, into it or where words say."""
    where, what = (words[:2], words[2:]) if words[0] == "--python" else ((), words)
    return run([python, "-m", "pip", *where, "install", *QUIETLY, *what])


def measure(place: Path) -> int:
    """Megabytes on disk."""
    files = (Path(at) / name for at, _, names in os.walk(place) for name in names)
    return round(sum(file.lstat().st_size for file in files) / 1e6)


# -- proofs --------------------------------------------------------------------------------------


def prove(outcome: Outcome, python: Path, proofs: Sequence[str], runner: Path) -> Outcome:
    """Use what is installed, by commands that see it alone, and by tests."""
    facts = asdict(outcome)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for line in (proof for proof in proofs if proof.startswith("plica ")):
            facts["passed"] = -1
            done = run([python, "-I", "-m", *line.split()], cwd=folder)
            if done.returncode:
                return Outcome(**{**facts, "fault": f"{line}: {last_words(done)}"})
    facts["seconds"] = time.monotonic() - begun
    if tests := [proof for proof in proofs if not proof.startswith("plica ")]:
        facts |= run_tests(python, tests, runner)
    return Outcome(**facts)


def run_tests(python: Path, tests: Sequence[str], runner: Path) -> dict[str, object]:
    """How many passed and were skipped, in which time, and what failed."""
    begun = time.monotonic()
    options = ["-q", "-p", "no:cacheprovider", "--no-header", "-r", "fE"]
    done = run([python, "-m", "pytest", *options, *tests], PYTHONPATH=str(runner))
    counts = re.findall(r"(\d+) (passed|skipped|failed|error)", done.stdout)
    found = {word: int(number) for number, word in counts}
    return {
        "passed": found.get("passed", 0),
        "skipped": found.get("skipped", 0),
        "seconds": time.monotonic() - begun,
        "fault": last_words(done) if done.returncode else "",
    }


def run(
    words: Sequence[object], cwd: Path | str = ROOT, **more: str
) -> subprocess.CompletedProcess[str]:
    """A command, in an environment that knows nothing of this one."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    kept |= {"OMP_NUM_THREADS": kept.get("OMP_NUM_THREADS", "1"), **more}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd, env=kept, capture_output=True, text=True, check=False,
    )  # fmt: skip


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Of what a command said before it failed."""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ERROR", "FAILED", "E  ", "plica:"))]
    return " / ".join((told or lines)[-6:])[:600]


# -- the page ------------------------------------------------------------------------------------


def write(outcomes: Sequence[Outcome]) -> None:
    """The table into the page, between its marks."""
    sys.path.insert(0, str(ROOT / "docs"))
    from parts import fill

    PAGE.write_text(fill(PAGE, {"environments": tabulate(outcomes)}), encoding="utf-8")


def tabulate(outcomes: Sequence[Outcome]) -> str:
    """Extras by Pythons."""
    pythons = sorted({outcome.python for outcome in outcomes}, key=number)
    torch = {outcome.python: outcome.torch for outcome in outcomes}
    found = {(outcome.extra, outcome.python): outcome for outcome in outcomes}
    lines = [
        "| environment | "
        + " | ".join(f"Python {one}, torch {torch[one]}" for one in pythons)
        + " |",
        "|---|" + "---|" * len(pythons),
    ]
    for extra in dict.fromkeys(outcome.extra for outcome in outcomes):
        cells = [tell(found.get((extra, version))) for version in pythons]
        name = "the core alone" if extra == "core" else f"`{extra}`"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(version: str) -> tuple[int, ...]:
    """A version as it is ordered: 3.9 before 3.11."""
    return tuple(map(int, version.split(".")))


def tell(outcome: Outcome | None) -> str:
    """One cell: size, what was run, how long it took."""
    if outcome is None:
        return "not tried"
    if not outcome.installed:
        return f"not installed: {outcome.fault}"
    size = f"{outcome.megabytes} MB" if outcome.extra == "core" else f"+{outcome.megabytes} MB"
    if outcome.fault:
        return f"{size}; **failed**: {outcome.fault}"
    skipped = f", {outcome.skipped} skipped" if outcome.skipped else ""
    ran = "runs" if outcome.passed < 0 else f"{outcome.passed} tests{skipped}"
    return f"{size}; {ran}, {outcome.seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
