"""Model cards: a codec's facts as a page of Markdown, for people and for model hubs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plica.codecs.card import NORMS, CodecCard

_FOLDS = {0: "images of any kind", 2: "pictures, and volumes slice by slice", 3: "volumes"}
# Licences a hub has a word for; all others are "other", with their name.
_HUB_LICENCES = {
    "mit": "mit",
    "apache-2.0": "apache-2.0",
    "bsd-3-clause": "bsd-3-clause",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
}
_WEIGHTS = {
    "packaged": "inside plica",
    "package": "inside the package that brings the codec",
    "hub": "from the hub",
    "file": "only from the user, who names the file",
    "none": "none: the codec has no weights",
    "unstated": "not stated",
}
_NOT_A_DEVICE = (
    "Research software. It is not a medical device, has not been cleared or approved by any "
    "authority, and must not be used to diagnose or treat. What a decoded image shows or lacks may "
    "differ from the patient; keep the originals."
)


Source = Mapping[str, Any]
"""One row of a card's training data: source, split, images, …"""
CHOSE = "Chose the checkpoint; not trained on"
"""What the second part of those is called."""


def write_model_card(card: CodecCard, *, sha256: str = "") -> str:
    """The card as Markdown, opened by what model hubs read (YAML).

    What stands in `card.extras["training"]`, as `plica export` writes it, becomes the tables of
    training data and of metrics.

    Args:
        sha256: Of the weights file at hand, where the card does not know it.

    Examples:
        >>> print(write_model_card(plica.load("linear-4x3-2d").card)[:23])
        ---
        license: apache-2.0
    """
    training = card.extras.get("training")
    told = training if isinstance(training, Mapping) else {}
    parts = [
        _front_matter(card),
        f"# {_plain(card.name)}\n\n{_plain(card.summary)}",
        "\n".join(_facts(card)),
        _use(card),
        "\n".join(_data(card, told)).rstrip(),
        "\n".join(_made(told)),
        "\n".join(_metrics(told)),
        "\n".join(_lesions(card)),
        "\n".join(_limits(card)),
        f"## Not a medical device\n\n{_NOT_A_DEVICE}",
        "\n".join(_weights(card, sha256)),
        _cite(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(card: CodecCard) -> str:
    known = _HUB_LICENCES.get(card.licence.lower())
    lines = [f"license: {known}" if known else "license: other"]
    if not known:
        lines.append(f"license_name: {_yaml(card.licence or 'not stated')}")
    tags = ["medical-imaging", "autoencoder", "plica", f"{card.dims}d", card.family]
    lines += ["library_name: plica", f"tags: [{', '.join(_yaml(tag) for tag in tags)}]"]
    return "\n".join(["---", *lines, "---"])


def _facts(card: CodecCard) -> Iterator[str]:
    latent = ("latent", f"{' and '.join(card.latents)}; posterior: {card.posterior}")
    rows = [
        ("folds", _FOLDS[card.dims]),
        ("coarser per axis", _say_factors(card)),
        ("code channels", str(card.channels)),
        ("voxels per code", f"{card.voxels_per_code:.3g}"),
        *_say_cost(card),
        ("image channels", str(card.in_channels)),
        latent,
        ("one code sees", _say_field(card)),
        ("tiles", "exact: any tile size gives the same" if card.tileable else "not exact"),
        *((("slices", _say_order(card)),) if card.period else ()),
        *((f"normalises over a {norm}", NORMS[norm]) for norm in card.norms),
    ]
    yield from _table(("fact", "value"), rows if card.dims else [rows[0], latent])


def _say_cost(card: CodecCard) -> Iterator[tuple[str, str]]:
    parameters, work = (card.extras.get(key) for key in ("parameters", "multiply_adds_per_voxel"))
    if parameters:
        yield "parameters", str(parameters)
    if isinstance(work, Mapping):
        spelled = ", ".join(f"{number} to {verb}" for verb, number in work.items())
        yield "multiply-adds per voxel", spelled


def _say_field(card: CodecCard) -> str:
    if card.receptive_field is None:
        return "not stated"
    return f"{card.receptive_field} voxels per axis" if card.receptive_field else "the whole image"


def _say_factors(card: CodecCard) -> str:
    along = f", {card.period}× along slices" if card.period else ""
    return f"{card.factor}×{along}"


def _say_order(card: CodecCard) -> str:
    """How many slices a codec of sequences folds."""
    if card.causal:
        return (
            f"1 + {card.period} · n, the last one repeated until there are; no code knows of later "
            "slices"
        )
    return f"{card.period} · n, the last one repeated until there are"


def _use(card: CodecCard) -> str:
    wanted = {0: "what is read", 2: "a picture or a volume", 3: "a volume"}[card.dims]
    name = json.dumps("the folder of this card" if is_folder(card) else _plain(card.name))
    return (
        "## What it is for\n\n"
        "Research: keeping images in fewer numbers, and training classifiers, diffusion models or "
        f"other networks on latents instead of images. It takes {wanted}: {_plain(card.expects)}\n"
        "\n```python\nimport plica\n\n"
        f"codec = plica.load({name})\n"
        'latent = codec.encode(plica.read("image.nii.gz"))\n'
        "decoded = codec.decode(latent)  # on the image's own grid, in its own unit\n```"
    )


def _data(card: CodecCard, told: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Training data", "")
    sources = _records(told.get("data"))
    if card.weights.kind == "none" and not is_folder(card):
        yield "Nothing was learned from data."
    elif card.training_data:
        yield from (_plain(card.training_data), "")
    elif not sources:
        yield "Not stated."
    trained, chose = part_sources(told)
    yield from _sources(trained)
    if chose:
        yield from ("", f"### {CHOSE}", "")
        yield from (
            "These images judged the run while it went on, and by them the checkpoint was chosen "
            "where it is not simply the last: the metrics below are theirs.",
            "",
        )
        yield from _sources(chose)


def part_sources(told: Mapping[str, Any]) -> tuple[list[Source], list[Source]]:
    """The images a codec was trained on, and those that chose its checkpoint.

    Where nothing tells one part from the other, all are of the first.

    Args:
        told: What a card says of the training.

    Examples:
        >>> data = [{"source": "a", "split": "train"}, {"source": "a", "split": "dev-test"}]
        >>> part_sources({"data": data, "metrics": [{"metric": "psnr", "split": "dev-test"}]})[1]
        [{'source': 'a', 'split': 'dev-test'}]
    """
    sources = _records(told.get("data"))
    judged = {_cell(one.get("split", "")) for one in _records(told.get("metrics"))}
    trained = [one for one in sources if _cell(one.get("split", "")) not in judged]
    if not trained:
        return sources, []
    return trained, [one for one in sources if _cell(one.get("split", "")) in judged]


def _sources(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = ("source", "split", "images", "patients", "licence", "attribution")
    if rows:
        yield from _table(columns, [_row(one, columns) for one in rows])


def _made(told: Mapping[str, Any]) -> Iterator[str]:
    if not told:
        return
    facts = (
        "recipe", "objective", "steps", "batch", "seed", "started from", "judged by", "checkpoint",
    )  # fmt: skip
    yield from ("## Training", "")
    yield from _table(
        ("fact", "value"),
        [(name, _cell(told[name])) for name in facts if told.get(name) not in (None, "")],
    )


def _metrics(told: Mapping[str, Any]) -> Iterator[str]:
    metrics = _records(told.get("metrics"))
    if not metrics:
        return
    columns = ("metric", "mean", "deviation", "unit", "better", "n", "split")
    yield from ("## Metrics", "")
    yield from _table(columns, [_row(one, columns) for one in metrics])
    yield from ("", "One value per case; the deviation is that between cases.")


def _lesions(card: CodecCard) -> Iterator[str]:
    kept = card.extras.get("lesions_kept")
    if not isinstance(kept, Mapping):
        return
    rows = [(size, _cell(share)) for size, share in kept.items() if size != "measured_on"]
    yield from ("## Lesions", "")
    yield from _table(("diameter", "share of the contrast that is kept"), rows)
    if said := kept.get("measured_on"):
        yield from ("", f"Measured on {_plain(str(said))}.")


def _limits(card: CodecCard) -> Iterator[str]:
    yield from ("## Limits", "")
    if said := _plain(str(card.extras.get("limit", ""))):
        yield f"- **{said[:1].upper()}{said[1:]}.**"
    if card.dims == 0:
        yield "- What is decoded is what was encoded only where the settings ask for no loss."
    elif not _has_weights(card):
        yield "- What is decoded is not what was encoded: fine structure is lost."
    else:
        yield (
            "- What is decoded is not what was encoded: fine structure is lost, and may be "
            "replaced by what the training images have there."
        )
        yield "- Images unlike its training data may come out worse than the metrics say."
    if card.dims == 2:
        yield "- Volumes are folded slice by slice; neighbouring slices know nothing of each other."
    if not card.tileable and card.dims:
        window = f", and runs in windows of {card.native_window}" if card.native_window else ""
        yield f"- Parts of an image do not give parts of its latent{window}."
    for name, fact in card.extras.items():
        if name in {"weights_checked", "weights_note", "projected", "notes"} and fact:
            yield f"- {name.replace('_', ' ')}: {_plain(str(fact))}"


def _weights(card: CodecCard, sha256: str) -> Iterator[str]:
    source = card.weights
    found = sha256 or source.sha256
    rows = [
        ("weights", _place(card)),
        ("SHA-256", found or ("not known" if _has_weights(card) else "")),
        ("licence", card.licence or "not stated by who made them"),
    ]
    yield from ("## Weights and licence", "")
    yield from _table(("fact", "value"), [row for row in rows if row[1]])


def _place(card: CodecCard) -> str:
    source = card.weights
    if source.kind == "hub":
        return f"{source.repo}@{source.revision or 'newest'}: {source.filename}"
    return "weights.safetensors, beside this card" if is_folder(card) else _WEIGHTS[source.kind]


def is_folder(card: CodecCard) -> bool:
    """Whether the codec is a folder of card and weights, which no table names.

    Examples:
        >>> is_folder(plica.load("my-codec").card), is_folder(plica.load("compact-4x1-3d").card)
        (True, False)
    """
    return card.weights.kind in {"file", "none", "unstated"} and "network" in card.extras


def _has_weights(card: CodecCard) -> bool:
    return card.weights.kind not in {"none", "unstated"} or is_folder(card)


def _cite(card: CodecCard) -> str:
    source = _plain(card.source)
    maker, _, recipe = source.partition("; ")
    if maker == "plica":
        weights = (
            ", and name the weights' SHA-256, which stands above" if card.weights.sha256 else ""
        )
        return (
            f"## How to cite\n\nBy the plica developers{f' ({recipe})' if recipe else ''}: cite "
            f"plica with its version, as CITATION.cff in its repository says{weights}."
        )
    return (
        f"## How to cite\n\n{source}{'' if source.endswith('.') else '.'} "
        "And plica, with its version: CITATION.cff stands in its repository."
    )


# -- Markdown ------------------------------------------------------------------------------------


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_plain(cell).replace('|', '∣') for cell in row)} |"


def _records(value: Any) -> list[Mapping[str, Any]]:
    """What a stranger's card says in a list of tables; anything else says nothing."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _row(record: Mapping[str, Any], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(_cell(record.get(column, "")) for column in columns)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """One line without control characters: a card may come from a stranger, a terminal obeys."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _yaml(text: str) -> str:
    """A string as JSON writes it is one in YAML."""
    return json.dumps(_plain(text), ensure_ascii=False)
