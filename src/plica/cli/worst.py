"""The worst cases of a report, decoded once more and drawn."""

from __future__ import annotations

import io

from plica.cli.console import progress
from plica.cli.judging import Judging
from plica.errors import PlicaError
from plica.evaluation.figures import panel
from plica.evaluation.report import Figure
from plica.evaluation.results import Result, Results
from plica.evaluation.worst import choose_worst
from plica.formats.latents import to_image


def draw_worst(
    judging: Judging, results: Results, *, each: int, silent: bool
) -> tuple[Figure, ...]:
    """Source, latent, decoded and residual of each codec's worst cases.

    Of a codec in passes, which makes many latents of an image, none is drawn.

    Decoded images are not kept while judging: these few are made anew, with the same result.
    """
    metric = next((name for name in ("psnr", *judging.metrics) if name in results.metrics), "")
    chosen = choose_worst(results, metric, each) if metric else ()
    with progress(quiet=silent, lines=True) as bar:
        task = bar.add_task("drawing the worst cases", total=len(chosen))
        figures = []
        for place, result in enumerate(chosen):
            figures += _draw(judging, result, metric, place)
            bar.advance(task)
    return tuple(figures)


def _draw(judging: Judging, result: Result, metric: str, place: int) -> list[Figure]:
    selected = next(
        one for one in judging.selection if (one.case.key, one.draw) == (result.case, result.draw)
    )
    contender = next(one for one in judging.contenders if one.name == result.codec)
    value = result.value(metric)
    try:
        prepared = judging.open(selected)
        latent, decoded, _ = contender.run(prepared.image)
    except PlicaError:  # it could be read before: whoever removed it need not lose the report
        return []
    shown = latent.kind != "bitstream" and contender.policy is None
    codes = to_image(latent) if shown else None
    of_it = ("latent, ", "its latent, ") if shown else ("", "")
    name = result.facts.get("name", "")
    picture = panel(prepared.image, decoded, latent=codes, title=f"{name} · {contender.name}")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    said = f"{contender.name} on {name}" + (f" ({result.group})" if result.group else "")
    return [
        Figure(
            name=f"worst-{place + 1:02d}",
            caption=f"{said}: {metric} {value}. Source, {of_it[0]}decoded, residual.",
            alt=f"{said}: the source, {of_it[1]}the decoded image and their difference",
            png=buffer.getvalue(),
        )
    ]
