"""Recipe: what is trained, on what, towards what and for how long; TOML for people."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from plica import settings
from plica.errors import SettingsError
from plica.training.ranges import check_ranges

Preparation = Literal["full_range", "radiograph", "mr", "medvae_pictures", "medvae_volumes"]
Setting = bool | int | float | str | tuple[int, ...]

JUDGED = ("validation", "val", "valid", "dev", "dev-test")
"""Splits that judge where a recipe names none; never the one that tests in the end."""
DEALT = "dev-test"
"""Split that judges where neither the recipe nor the cohort names any."""

_NAMED = 4  # settings a message names


@dataclass(frozen=True)
class Start:
    """What the weights are before the first step.

    Args:
        weights: "" begins from scratch; else a run's folder, a codec's folder or name, a weights
            file, or "hub:repo@revision:file". Relative paths are also looked for in
            `--weights-dir`.
        lift: Whether 2D weights are laid into a 3D network (`networks.lifting`).
        adapters: Rank of the low-rank adapters (LoRA) that are trained instead of the
            convolutions; 0 trains the weights themselves.
        train: Beginnings of the names of the parameters that are trained; () trains all.
    """

    weights: str = ""
    lift: bool = False
    adapters: int = 0
    train: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Images that are drawn with one weight, however many they are.

    Args:
        name: For people; stands in the card's training data.
        where: Values of the cohort's labels that select them; {} takes every case.
        weight: How often the source is drawn, beside the others.
    """

    name: str
    where: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a crop; each draw is its own.

    Args:
        scale: Least and greatest side of the crop before it is resized to `Data.crop`, as a
            multiple of it; (1, 1) never resizes. The aspect ratio is kept.
        resized: Share of the crops that are resized so; the others keep the image's own voxels.
        flips: Axes of the network's input that may be mirrored.
        quarter_turns: Whether 2D crops may be turned by 90°.
        gain: Greatest relative change of contrast.
        offset: Greatest shift of brightness, in units of [−1, 1].
        gamma: Greatest |log₂ γ|.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    resized: float = 1.0
    flips: tuple[int, ...] = ()
    quarter_turns: bool = False
    gain: float = 0.0
    offset: float = 0.0
    gamma: float = 0.0


@dataclass(frozen=True)
class Data:
    """Which images, and what is cut from them.

    Args:
        cohort: A folder, a CSV or Parquet table, or a BIDS tree; `--data` replaces it.
        sources: What is drawn from it; () takes the split as one source.
        train: Split that is trained on.
        validation: Split that is judged on; never trained on. "" takes the first of `JUDGED` that
            the cohort has, and the run's recipe says which.
        preparation: How an image becomes the network's input, as in `codecs.directory`.
        planes: For 2D networks, the axes (0 = i, 1 = j, 2 = k) volumes are sliced across.
        crop: Side of the square or cubic patch, in voxels.
        foreground: Share of the patches that must hold some foreground.
        unreadable: Share of the images that may be unreadable before the run is refused.
        validation_crop: Side of the centred crop that is judged; 0 judges whole images.
        validation_cases: Cases that are judged at most, spread evenly over the split; 0 for all.
        cache_precision: Of prepared images on disk.
    """

    cohort: str = ""
    sources: tuple[Source, ...] = ()
    train: str = "train"
    validation: str = ""
    preparation: Preparation = "full_range"
    planes: tuple[int, ...] = (2,)
    crop: int = 128
    foreground: float = 0.0
    unreadable: float = 0.0
    validation_crop: int = 0
    validation_cases: int = 0
    cache_precision: Literal["float32", "float16"] = "float32"
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class Optimiser:
    """How steps are taken.

    Args:
        rate: Learning rate at its height, for the whole batch: nothing is multiplied into it.
        schedule: How the rate goes from its height to `final` × `rate` at the last step.
        warmup: Steps in which the rate rises from zero.
        clip: Greatest norm of the gradient; 0 clips nothing.
    """

    kind: Literal["adam", "adamw"] = "adam"
    rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: int = 0
    final: float = 0.0
    clip: float = 0.0


@dataclass(frozen=True)
class Adversary:
    """A patch discriminator (Isola et al., 2018) against which the decoder is trained.

    Args:
        weight: Of the adversarial term; 0 trains without.
        start: First step at which it counts.
        adaptive: Whether the weight is multiplied by |∇ reconstruction| / |∇ adversarial| at the
            decoder's last layer (Esser et al., 2021, equation 7).
        alternate: Whether decoder and discriminator take turns (MedVAE), or both learn from every
            batch (latent diffusion).
        width: Channels of the discriminator's first layer.
        layers: Its layers of stride two.
        normalisation: "batch" (published), "group" or "none".
        optimiser: Of the discriminator; None takes the recipe's.
    """

    weight: float = 0.0
    start: int = 0
    adaptive: bool = True
    alternate: bool = False
    width: int = 64
    layers: int = 3
    normalisation: Literal["batch", "group", "none"] = "batch"
    optimiser: Optimiser | None = None


@dataclass(frozen=True)
class Reconstruction:
    """Towards x̂ = x: the terms, each with its weight; 0 leaves a term out.

    Args:
        pixel: "l1", "l2", or "psnr": the mean over the batch's images of log₁₀ of the squared
            error, in which each image counts as it does in a mean of decibels.
        pixel_weight: Of that term.
        pixel_floor: Added to the squared error under "psnr", so that crops of mere background,
            which any network knows to many decibels, do not outweigh the others.
        perceptual: Weight of LPIPS (Zhang et al., 2018).
        perceptual_network: Its backbone.
        kl: Weight of the divergence of the posterior from a standard normal.
        embedding: Weight of the squared distance of BiomedCLIP's embeddings of x and x̂.
        codebook: Weight of the codebook and commitment terms of VQ networks.
        commitment: β in them (van den Oord et al., 2017).
        reduction: "sum" adds up over each image's voxels and codes before the mean over the batch
            (latent diffusion, MedVAE), "mean" averages over them.
        slices: For volumes, the axes across which the terms of 2D networks (perceptual,
            adversarial, embedding) see slices.
        slice_share: Share of the slices they see, drawn anew at each step.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    pixel: Literal["l1", "l2", "psnr"] = "l1"
    pixel_weight: float = 1.0
    pixel_floor: float = 1e-5
    perceptual: float = 0.0
    perceptual_network: Literal["vgg16", "alexnet", "squeezenet"] = "vgg16"
    kl: float = 0.0
    embedding: float = 0.0
    codebook: float = 0.0
    commitment: float = 0.25
    reduction: Literal["mean", "sum"] = "mean"
    slices: tuple[int, ...] = (0, 1, 2)
    slice_share: float = 1.0
    adversary: Adversary = field(default_factory=Adversary)


@dataclass(frozen=True)
class Projection:
    """Towards b(z̄) = b(x): MedVAE's second stage in 2D, on the projection layers alone.

    Args:
        divisor: What the projected latent is divided by before it is embedded as an image; 4.6 is
            the published, empirical number.
    """

    kind: Literal["projection"] = "projection"
    divisor: float = 4.6


@dataclass(frozen=True)
class Classification:
    """Towards the class of an image: what a probe learns, on images or on their latents.

    `plica evaluate probe` makes such recipes; the images and classes are its own.

    Args:
        linear: Whether the head alone is trained, on features of a trunk that stays as it is.
        balanced: Whether images are drawn so that all classes come equally often.
        inputs: SHA-256 over what is shown and what it is to be known as.
    """

    kind: Literal["classification"] = "classification"
    linear: bool = True
    balanced: bool = False
    inputs: str = ""


@dataclass(frozen=True)
class Recipe:
    """One training, from the first weights to the last.

    Args:
        name: For people; the run's folder and the exported codec are named after it.
        summary: One sentence.
        network: `kind`, a name in the table of networks, and the arguments of its constructor.
        objective: What is minimised.
        steps: Steps of the optimiser.
        batch: Images per step, over all processes and accumulations.
        accumulate: Parts a process's share of the batch is computed in, one after another.
        precision: "bfloat16" computes under autocast; the weights stay float32.
        average: Decay of the moving average of the weights, which is judged and exported; 0 keeps
            none.
        seed: Of everything drawn.
        evaluate_every: Steps between judgements on the validation split.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between lines of the log.
        metric: Which of the objective's measures chooses the best checkpoint; "" takes its first.
        tolerance: How far, in the metric's unit, a judgement may fall behind that of the first
            weights before the run is stopped.
        smoke: Settings by dotted name that `--smoke` changes, so that a minute on two cores is
            enough to walk the whole way.
        licence: Of the weights it makes.
        source: Whose method it is: paper and code.
        notes: What a reader of the card should know.

    Raises:
        SettingsError: A value is out of its range; names it by its dotted name.
    """

    name: str
    summary: str
    network: dict[str, Setting]
    steps: int
    batch: int
    objective: Reconstruction | Projection | Classification = field(default_factory=Reconstruction)
    start: Start = field(default_factory=Start)
    data: Data = field(default_factory=Data)
    optimiser: Optimiser = field(default_factory=Optimiser)
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    average: float = 0.0
    seed: int = 0
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    log_every: int = 50
    metric: str = ""
    tolerance: float = 1.0
    smoke: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)

    def optimiser_of(self, player: str) -> Optimiser:
        """How `player` takes its steps: the discriminator may have an optimiser of its own."""
        if player == "discriminator" and isinstance(self.objective, Reconstruction):
            return self.objective.adversary.optimiser or self.optimiser
        return self.optimiser


def fingerprint(recipe: Recipe) -> str:
    """A short hash of what in `recipe` decides the weights that come out.

    Words for people are not in it, nor where the cohort lies, nor how often something is logged.

    Examples:
        >>> fingerprint(recipe) == fingerprint(replace(recipe, notes="written later"))
        True
    """
    return hashlib.sha256(_deciding(recipe).encode()).hexdigest()[:16]


def compare(one: Recipe, other: Recipe) -> list[tuple[str, Any, Any]]:
    """Where two recipes differ in what decides the weights: dotted name, and both values.

    Examples:
        >>> compare(recipe, replace(recipe, steps=10))
        [('steps', 4, 10)]
    """
    tables = [dict(_flatten(tomllib.loads(_deciding(recipe)))) for recipe in (one, other)]
    ours, theirs = tables
    return [
        (name, ours.get(name, "nothing"), theirs.get(name, "nothing"))
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]


def refuse_another(there: Recipe, here: Recipe, *, whose: str) -> None:
    """Refuse to go on by one recipe with what another one made.

    Args:
        there: What it was made by.
        here: What is asked of it.
        whose: What it is, for the message: "the checkpoint of step 10".

    Raises:
        SettingsError: They differ in what decides the weights; the message names where.

    Examples:
        >>> refuse_another(recipe, replace(recipe, steps=10), whose="the checkpoint of step 10")
        Traceback (most recent call last):
            ...
        plica.errors.SettingsError: ...
    """
    differing = compare(there, here)
    if not differing:
        return
    listed = ", ".join(f"{name} ({a} there, {b} here)" for name, a, b in differing[:_NAMED])
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    raise SettingsError(
        f"{whose} was made by another recipe: {listed}{more}; give this training a run of its own"
    )


def _deciding(recipe: Recipe) -> str:
    silent = replace(
        recipe, name="-", summary="", notes="", licence="", source="", smoke={}, log_every=1,
        evaluate_every=1, checkpoint_every=1,
        # What was judged by recipes that named no split, before they could leave it open.
        data=replace(recipe.data, cohort="", validation=recipe.data.validation or DEALT),
    )  # fmt: skip
    # Runs that were begun before recipes said whose method they are can be gone on with.
    return settings.to_toml(silent).replace('\nsource = ""\n', "\n", 1)


def _flatten(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
