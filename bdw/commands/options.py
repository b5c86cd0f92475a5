"""The options of every command, one dataclass each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bdw.config import RunConfig, SelectorConfig, WorkersConfig, presets

PRESET_HELP = (
    "Settings to start from; other flags override them. Default: `glyphs` for the embedded pool and without --source, "
    "`digits` for the embedded digits, `recommended` (ResNet-18, 96x96 pixels) for any other source."
)

# What `replay` maps: the range in which sweeps search, and the paper's own values.
CDF_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
DENSITY_THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Train one encoder on an unlabelled source while learning how useful each of its images is for the target.

    Leaves encoder.safetensors, instance_weights.parquet, metrics.csv, results.parquet and report.html in the run
    directory. Under torchrun every process is a worker; with --num-workers Ray starts them, here or on a cluster.
    --help shows the basic options, --help-all all of them; an option's last name may stand alone (--cdf-threshold).
    """

    preset: Annotated[str | None, tyro.conf.arg(help=f"{PRESET_HELP} One of: {', '.join(presets.available())}.")] = None
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """The options of `fit` on which the defaults of the others depend, and those that must agree, as they were
    written."""

    preset: str | None = None
    source: Annotated[str | None, tyro.conf.arg(aliases=["--data.source"])] = None
    target: Annotated[str | None, tyro.conf.arg(aliases=["--data.target"])] = None
    targets: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--data.targets"])] = ()
    pretext: Annotated[str | None, tyro.conf.arg(aliases=["--pretext.pretext"])] = None
    selector: Annotated[str | None, tyro.conf.arg(aliases=["--selector.selector"])] = None
    epochs: Annotated[str | None, tyro.conf.arg(aliases=["--budget.epochs"])] = None
    budget_images: Annotated[str | None, tyro.conf.arg(aliases=["--budget.budget-images"])] = None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure an encoder on a labelled target, by default the accuracy of a logistic regression on frozen features.

    What is fitted is fitted on the target's train and validation images; it is measured on its test images.
    """

    run: Path | None = None
    """Run directory whose best encoder is measured; its config says how images are cut."""
    encoder: Path | None = None
    """Or an encoder.safetensors by itself."""
    target: str | None = None
    """Labelled target, named as for `fit`; default: the run's own."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie; default: the run's own."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    device: str = "auto"
    """Where features are extracted: auto, cpu or cuda."""
    measure: str = "accuracy"
    """accuracy (logistic regression), fine_tuned_accuracy (the paper's grid; takes long), knn_accuracy, rankme,
    alignment or uniformity."""
    layer: str | None = None
    """Layer of the backbone whose features are measured, such as layer2; default: the run's own, or the output."""
    neighbours: int | None = None
    """Neighbours that vote in knn_accuracy; default: the run's own, or 20."""
    fine_tuning_epochs: int | None = None
    """Epochs of every cell of the fine-tuning grid; default: the run's own, or 100."""
    max_iterations: int | None = None
    """Upper limit of L-BFGS iterations; default: the run's own, or 800."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write an encoder as an ONNX graph (--format onnx), or a run as folders for Hugging Face's hub (--format hub).

    onnx needs the extra of that name. The graph takes uint8 crops (B, channels, crop_size, crop_size), scales them
    itself and returns features (B, d). It is run once and compared with the encoder before the file is written.

    hub makes model/ (encoder and model card) and dataset/ (instance weights, data card, Croissant); nothing is sent.
    """

    run: Path | None = None
    """Run directory whose best encoder is exported."""
    encoder: Path | None = None
    """Or an encoder.safetensors by itself."""
    format: Literal["onnx", "hub"] = "onnx"
    """onnx or hub; encoder.safetensors itself loads into torchvision and timm."""
    out: Path | None = None
    """File to write, default encoder.onnx beside the encoder; hub: new folder, default hub in the run directory."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score images that a run never saw: a, b, mean weight, its 95 % interval and rank of each, as a Parquet file.

    The report of the run says how well its scores predict. A command that was interrupted goes on where it stopped.
    """

    pool: tyro.conf.Positional[str]
    """What to score, named as for --source."""
    run: Path
    """Directory of a finished run that learnt weights."""
    out: Path
    """New file, .parquet."""
    target: str | None = None
    """Score by usefulness for this target, one of the run's targets or value_for; default: by its weights."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie; default: the run's own."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    data_seed: int | None = None
    """Seed of a pool that is drawn, such as glyphs; default: the run's own."""
    device: str = "auto"
    """Where to compute: auto, cpu or cuda."""
    num_workers: int | None = None
    """Workers of one CPU each, started by Ray here or on the cluster that RAY_ADDRESS names. Default: this process."""


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write what an encoder makes of every image of a pool: features with names."""

    pool: tyro.conf.Positional[str]
    """What to embed, named as for --source."""
    out: Path
    """New file: .parquet (name, embedding), or .npy with the names beside it in .names.npy."""
    run: Path | None = None
    """Finished run whose best encoder is used."""
    encoder: Path | None = None
    """Or an encoder.safetensors by itself."""
    layer: str | None = None
    """Layer of the backbone, such as layer2, whose maps are averaged over positions; default: the output."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie; default: the run's own."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    data_seed: int | None = None
    """Seed of a pool that is drawn, such as glyphs; default: the run's own, or 0."""
    device: str = "auto"
    """Where to compute: auto, cpu or cuda."""


@dataclass(frozen=True, kw_only=True)
class Select:
    """Choose images by their scores: the best N, a share, or all above a threshold. Or, with --selector and --target,
    before anything was trained.

    Writes a list (.txt, the best first), a table (.parquet, every image with a column kept, which --weights-file
    obeys), or a folder of copies or links.
    """

    out: Path
    """New file, .txt or .parquet, or new folder."""
    scores: Path | None = None
    """What `score` wrote, or a run's instance_weights.parquet."""
    selector: SelectorConfig = field(default_factory=SelectorConfig)
    target: str | None = None
    """With --selector: the labelled target, named as for `fit`."""
    count: int | None = None
    """Keep so many images."""
    share: float | None = None
    """Or this share of all, above 0, at most 1."""
    at_least: float | None = None
    """Or all with this mean weight or more: the probability that an image helps, in the recommended recipe."""
    near_duplicates: bool = True
    """Keep near-duplicates. Otherwise only the best of images that are nearly the same is kept; needs --pool."""
    clusters: int | None = None
    """Take as many images from each of so many clusters, the best of each; needs --features."""
    features: Path | None = None
    """What `embed` wrote, .parquet."""
    pool: str | None = None
    """Where the images are, named as for --source."""
    link: bool = False
    """Fill the new folder with links instead of copies."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie."""
    data_seed: int = 0
    """Seed of a pool that is drawn, such as glyphs."""
    seed: int = 0
    """Seed of the clusters, and of a selector."""
    image_size: int | None = None
    """With --selector: side in pixels to which images are resized; default: that of the encoder in
    --selector.features, or 96."""
    cache_dir: str | None = None
    """With --selector: where packed images and features are kept; default: ~/.cache/bdw/data."""
    device: str = "auto"
    """With --selector: where to compute, auto, cpu or cuda."""
    num_workers: int | None = None
    """With --selector neural-data-server: workers of one CPU each that train experts side by side, started by Ray here
    or on the cluster that RAY_ADDRESS names. Default: this process."""


@dataclass(frozen=True, kw_only=True)
class Certify:
    """Measure whether the images that a run kept are worth more than others, and say what to do with its weights.

    Trains, all alike and on equally many images, on the kept set, on a random set of its size, on the nearest
    neighbours of the target, on everything, and on everything by weight. Leaves certificate.json and a section of
    report.html. A command that was interrupted goes on where it stopped.
    """

    run: Path
    """Directory of a finished run that learnt weights and pruned."""
    seeds: int = 3
    """Runs of each of the five: the run's own seed and those that follow it; at least 3. With more, a later command
    adds the missing ones."""
    num_workers: int | None = None
    """Encoders that are trained side by side, on a CPU each, by Ray here or on the cluster that RAY_ADDRESS names.
    Default: one after another, in this process."""


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """List images of a pool that are, or nearly are, a target's validation or test images, whatever their names.

    An encoder that is trained on them has seen what it is measured on. fit --data.without-leaks leaves them out.
    """

    pool: tyro.conf.Positional[str]
    """Unlabelled pool, named as for --source."""
    target: str
    """Labelled target, named as for fit."""
    out: Path | None = None
    """New file, .parquet, with all of them: name, split, held_out, is_crop."""
    features: str | None = None
    """Look for crops, too, among the images that these features propose: `pixels`, which finds most, or an
    encoder.safetensors, `run:DIR` or `timm:NAME.TAG`. Default: whole images only."""
    clean: Path | None = None
    """New file, .parquet, with every image of the pool: name, weight, 0 for leaks. `fit --selector given
    --selector.weights-file FILE` trains on the others."""
    image_size: int = 96
    """Side in pixels at which images are compared, at least 32; that of the run to come lets fit find the images
    packed."""
    data_root: str | None = None
    """Folder or address under which data sets lie by name."""
    cache_dir: Path | None = None
    """Where images are kept packed, as for fit; default: below data_root, or nowhere."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    validation_fraction: float = 0.2
    """Share of the target's training images held out for validation, as for fit."""
    data_seed: int = 0
    """Seed of splits and of a pool that is drawn, as for fit."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Decode and resize images once into a memory-mapped data set that every command then reads in no time."""

    spec: tyro.conf.Positional[str]
    """A reader's name, an image folder or an .npz file, as for --source; s3://bucket/path and gs://bucket/path, too."""
    out: tyro.conf.Positional[str]
    """New folder for the packed data set, or its address (s3://bucket/pool, gs://bucket/pool)."""
    part: str = "source"
    """`source`: what a run would take as its source; `train`, `validation` or `test`: a split of a labelled target."""
    image_size: int = 96
    """Side in pixels to which images are resized (and centre cropped)."""
    channels: int | None = None
    """3 for colour, 1 for grey; default: what the data set has."""
    data_root: str | None = None
    """Folder or address under which data sets lie by name; with --download a folder, where torchvision's go."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    num_workers: int | None = None
    """Processes of one CPU each, started by Ray, here or on the cluster of RAY_ADDRESS; default: this process alone."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Tell what every lambda and rho would have pruned, and when, from one run that was made with --record-trajectory.

    Prints tables and leaves replay.csv and replay.png. Exact up to the first epoch that prunes anything.
    """

    run: Path
    """Run directory; best of a run with --record-trajectory --no-prune."""
    cdf_threshold: Annotated[tuple[float, ...], tyro.conf.arg(aliases=["--lambda"])] = CDF_THRESHOLDS
    """lambda: weights below it count as useless."""
    density_threshold: Annotated[tuple[float, ...], tyro.conf.arg(aliases=["--rho"])] = DENSITY_THRESHOLDS
    """rho: prune once more than this share of an image's Beta density lies below lambda."""
    burn_in_epochs: int | None = None
    """Epochs at the start after which nothing is pruned yet; default: the run's own."""
    out: Path | None = None
    """Folder for replay.csv and replay.png; default: the run directory."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write report.html of a run or a sweep anew from the files in its directory."""

    directory: tyro.conf.Positional[Path]
    """Run or sweep directory."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what this machine has, what is wrong with it and what to do. Exit status 1 if something prevents a run."""

    run_dir: Path = Path("runs")
    """Where runs will be written."""
    json: bool = False
    """Print a JSON list for machines."""
    gpu: bool = False
    """Look at the GPUs alone; exit status 1 unless torch can compute on one, for the set-up of a machine."""


Command = Fit | Evaluate | Export | Score | Embed | Select | Certify | Leaks | Pack | Replay | Report | Doctor
