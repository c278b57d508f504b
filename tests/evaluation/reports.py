"""A report like those that commands make: codecs, groups, forty cases, and names that attack."""

import functools
import io

import numpy as np

from plica.evaluation.charts import Difference, difference_chart, distribution_of
from plica.evaluation.curves import (
    RatePoint,
    Spectrum,
    band_chart,
    rate_distortion_chart,
    spectrum_chart,
)
from plica.evaluation.figures import panel
from plica.evaluation.report import Figure, Report, Section, Table
from plica.evaluation.results import Result, Results
from plica.evaluation.text import head_value
from plica.grid import Grid
from plica.image import Image, Unit
from plica.metrics.metric import Value

CODECS = ("bicubic-4x-2d", "linear-4x3-2d", "compact-4x3-2d", "medvae-4x3-2d (random weights)")
GROUPS = {"chest radiograph": 24, "mammogram": 16}
ATTACKS = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert('p')>",
    "=HYPERLINK(\"http://evil.example\")",
    "أحمد\u202egnp.exe",
    "pipe | star * back` tick",
    "line\nbreak\x07",
)  # fmt: skip
METRICS = {
    "psnr": ("dB", "higher", 255.0, "10 log₁₀ of the squared data range over the mean squared "
             "error."),
    "ms-ssim": ("1", "higher", 255.0, "Multi-scale structural similarity, five scales."),
    "mae": ("display", "lower", None, "Mean absolute error."),
    "bias": ("display", "nearer zero", None, "Mean of decoded minus source."),
}  # fmt: skip
BANDS = ("1 ij", "1 i", "1 j", "2 ij", "2 i", "2 j", "3 ij", "3 i", "3 j", "low")


def name_patient(group, n, *, hostile):
    if hostile and group == "mammogram" and n < len(ATTACKS):
        return ATTACKS[n]
    return f"{group[:3].upper()}-{n // 2 + 1:03d}"  # two images of each patient


def make_results(*, seed=0, shift=0.0, hostile=True, failures=True, protocol_range=255.0):
    rng = np.random.default_rng(seed)
    noise = np.random.default_rng(seed + 1000 * bool(shift))
    found = []
    for group, count in GROUPS.items():
        for n in range(count):
            ease = rng.normal(0, 2.4)
            for place, codec in enumerate(CODECS):
                case = (name_patient(group, n, hostile=hostile), f"study-{n}", "")
                if failures and place == 3 and n == 3:
                    error = "the codec takes images of at least 64 pixels a side, but got 48×512"
                    found.append(Result(case, codec, group, error=error))
                    continue
                level = 30.0 + 2.1 * place - 9.0 * (place == 3) + 2.5 * (group == "mammogram")
                psnr = level + ease + noise.normal(0, 0.25) + shift * (place == 2)
                numbers = (psnr, 1 - 10 ** (-psnr / 18), 300 * 10 ** (-psnr / 20),
                           noise.normal(0.02, 0.05))  # fmt: skip
                found.append(Result(case, codec, group, make_values(numbers, protocol_range),
                                    make_facts(rng, place)))  # fmt: skip
    return Results(tuple(found))


def make_values(numbers, data_range):
    return tuple(
        Value(name, float(number), unit, better, data_range if ranged else None, definition)
        for number, (name, (unit, better, ranged, definition)) in zip(
            numbers, METRICS.items(), strict=True
        )
    )


def make_facts(rng, place):
    return {
        "source_bytes": int(rng.integers(400_000, 2_000_000)),
        "latent_bytes": int(rng.integers(40_000, 90_000)),
        "encode_seconds": float(rng.gamma(2.0, 0.05 * (place + 1))),
        "code_shape": [3, 64, 64],
    }


def make_pictures(count=3, side=192):
    """Worst cases: a made body with a line pattern, and the same with its detail gone."""
    j, i = np.mgrid[:side, :side] / side - 0.5
    grid = Grid.from_spacing((side, side, 1), (0.4, 0.4, 1.0), calibrated=False)
    for n in range(count):
        rng = np.random.default_rng(n)
        body = 190 * np.exp(-6 * ((i / 0.9) ** 2 + j**2) ** 2)
        ribs = 25 * np.sin((34 + 6 * n) * (j + 0.6 * i**2)) * (body > 60)
        pixels = np.clip(body + ribs + rng.normal(0, 3, i.shape), 0, 255)
        blurred = pixels.reshape(side // 4, 4, side // 4, 4).mean((1, 3)).repeat(4, 0).repeat(4, 1)
        source, decoded = (
            Image(np.rint(p).astype(np.uint8).T[None, :, :, None], grid, Unit.DISPLAY)
            for p in (pixels, blurred)
        )
        out = io.BytesIO()
        panel(source, decoded, title=f"{CODECS[0]}, case {n + 1}").save(out, "PNG", optimize=True)
        yield Figure(
            name=f"worst-{CODECS[0]}-{n}", png=out.getvalue(),
            caption=f"{CODECS[0]}, {ATTACKS[n]}: psnr 24.{n} dB, 2.{n} spreads below the median.",
            alt=f"Source, decoded and residual of {ATTACKS[n]} under {CODECS[0]}.",
        )  # fmt: skip


def say_mean(column):
    mean, half = column.mean(), column.std() / 4
    return f"{mean:.3g} ({mean - half:.3g} to {mean + half:.3g})".replace("-", "−")


def make_table(results):
    rows = []
    for group in results.groups:
        for codec in results.codecs:
            columns = [results.of(codec=codec, group=group).column(name) for name in METRICS]
            cells = [say_mean(column) for column in columns]
            rows.append((codec, group, str(columns[0].size), *cells))
    heads = [head_value(results.describe(metric)) for metric in METRICS]
    return Table(
        "What each codec keeps", ("codec", "kind of image", "n", *heads), tuple(rows),
        "Means over cases with 95 % intervals, bootstrapped over patients (BCa). n counts images; "
        "two come from each patient. Arrows point to the better.",
    )  # fmt: skip


def make_charts(results):
    rng = np.random.default_rng(1)
    frequency = np.linspace(0, 3.5, 70)
    spectra = [
        Spectrum(codec, frequency, 1 / (1 + np.exp(4 * (frequency - 1.1 - 0.3 * n))),
                 1 / (1 + np.exp(3 * (frequency - 1.3 - 0.3 * n))))
        for n, codec in enumerate(CODECS)
    ]  # fmt: skip
    rates = [RatePoint(f"JPEG 2000 {k}", 2.0**k, 31 + 4 * k, 30.2 + 4 * k, 31.8 + 4 * k,
                       "JPEG 2000") for k in range(-3, 3)]  # fmt: skip
    rates += [RatePoint(codec, 2.0 ** (0.5 - n / 3), 30 + 2 * n) for n, codec in enumerate(CODECS)]
    errors = {codec: 10.0 ** -np.linspace(0.15 + 0.22 * n, 3, len(BANDS)) * rng.uniform(
        0.8, 1.2, len(BANDS)) for n, codec in enumerate(CODECS)}  # fmt: skip
    differences = [
        Difference(codec, 0.3 * n - 0.2, 0.3 * n - 0.42, 0.3 * n + 0.02, group, n > 0)
        for group in GROUPS for n, codec in enumerate(CODECS[1:])
    ]  # fmt: skip
    return {
        "cases": distribution_of(results, "psnr", paired=True),
        "rates": rate_distortion_chart({"chest radiograph": rates}),
        "spectra": spectrum_chart(spectra, nyquist=3.1),
        "bands": band_chart(errors, BANDS),
        "differences": difference_chart(differences, "psnr against bicubic-4x-2d (dB)", margin=0.1),
    }


@functools.cache
def make_report(*, charts=True, seed=0, shift=0.0, **options):
    results = make_results(seed=seed, shift=shift, **options)
    drawn = make_charts(results) if charts else {}
    pictures = tuple(make_pictures()) if charts else ()

    def some(*names):
        return tuple(drawn[name] for name in names if name in drawn)

    sections = (
        Section("What codecs keep", (
            "Each image was folded and unfolded once by each codec, and compared with itself, "
            "pixel by pixel.",), (make_table(results),), some("cases", "differences")),
        Section("Frequencies and detail", (
            "Up to which frequency a decoded image follows its source, and how wrong each band of "
            "detail is.",), (), some("spectra", "bands")),
        Section("Bytes", ("What is stored, header and all.",), (), some("rates")),
        Section("Worst cases", (
            "For each codec the images it stays furthest behind on, among those of their kind.",),
            (), pictures),
    )  # fmt: skip
    return Report(
        title="Reconstruction of radiographs by four codecs",
        summary=(
            "compact-4x3-2d keeps most: 34.2 dB on chest radiographs (95 % CI 33.1 to 35.3, 12 "
            "patients), 4.1 dB more than bicubic interpolation with as many numbers.",
            "medvae-4x3-2d stands here with random weights: its numbers prove the path, "
            "and say nothing about that network.",
        ),
        sections=sections,
        record={"protocol": {"name": "reconstruction", "version": 2}, "seed": 0, "mean": np.float64(
            31.25), "perfect": float("inf"), "none": float("nan")},
        setting={
            "protocol": "reconstruction, version 2",
            "cohort": "40 images of 26 patients (split dev-test)",
            "codec compact-4x3-2d": "weights sha256:" + "5f" * 32,
            "plica": "0.1.0",
            "hardware": "2 cores, 24 GiB",
        },
        results=results,
    )  # fmt: skip
