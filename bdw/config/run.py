"""What a run needs to be repeated: one frozen dataclass per component, nested in one `RunConfig`.

Values live here, live objects do not. Field names are unique over all sections, so that the command line can offer
every one of them as a flat flag (`--weight-lr`) and a sweep can name it by itself. The paper's letters stand in the
comments behind the fields; those comments are also the command line's help texts.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from bdw.errors import InputError, unknown_option

Precision = Literal["float32", "tf32", "bfloat16"]
YEAR = 366 * 24 * 3600  # seconds
REMOVED: Mapping[str, Any] = {
    "evaluation_batch": 256,
    "nearest_search": "exact",
    "pruned_for": None,
    "settled_epochs": None,
    "target_updates_statistics": False,
    "weight_gradient_clip": 10.0,
}
"""Fields that earlier versions had, and what they were unless somebody asked for another value: what all runs do now.
For files of earlier runs alone; whoever names one today is told that it is not known."""
LAST_WITH_REMOVED = "4b310db"
"""The last revision that knows the fields of `REMOVED`."""


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise InputError(f"{name}: {value!r} cannot work; allowed: {allowed}")


def _is_finite_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images come from and how they are cut."""

    source: str = "digits"
    """Unlabelled pool: a reader's name (`digits`, `stl10`, `cifar10`, ...), an image folder, a packed data set or an
    .npz file; `reader:path` where the path alone does not tell."""
    target: str = "digits"
    """Labelled target, named like the source; in an image folder every sub-folder is a class."""
    data_root: str | None = None
    """Folder under which torchvision's data sets lie (or are downloaded to, with --download)."""
    download: bool = False
    """Let torchvision download a data set that is not under data_root."""
    cache_dir: str | None = None
    """Where packed data sets are kept; default: `packed` below data_root, or the run directory."""
    image_size: int = 16
    """Side in pixels to which images are resized (and centre cropped) when they are packed."""
    crop_size: int = 16
    """Side in pixels of the random crop that the encoder sees; evaluation takes the centre crop."""
    crop_padding: int = 2
    """Zero padding in pixels on every side before the random crop."""
    flip: bool = False
    """Random horizontal flips of source and target images while training."""
    max_source: int | None = None
    """Use only that many source images, drawn by data_seed; default: all."""
    max_train_per_class: int | None = None
    """Use only that many labelled target images per class for training; default: all."""
    target_fraction: float = 1.0
    """Share of every class of the target's training images that the target has; below 1 exactly those images leave the
    source if it holds them (by name), so that none is on both sides."""
    validation_fraction: float = 0.2
    """Share of the target's training images of each class held out for model selection."""
    data_seed: int = 0
    """Seed of every split and subset, apart from the run's seed so that repeats share their data."""

    def __post_init__(self) -> None:
        _require(self.image_size >= 4, "image_size", self.image_size, "at least 4 pixels")
        _require(
            4 <= self.crop_size <= self.image_size + 2 * self.crop_padding,
            "crop_size",
            self.crop_size,
            f"4 to image_size + 2 * crop_padding = {self.image_size + 2 * self.crop_padding} pixels",
        )
        _require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "0 or more pixels")
        _require(0 < self.target_fraction <= 1, "target_fraction", self.target_fraction, "above 0, at most 1")
        _require(0 < self.validation_fraction < 1, "validation_fraction", self.validation_fraction, "between 0 and 1")
        _require(self.data_seed >= 0, "data_seed", self.data_seed, "0 or more")
        for name in ("max_source", "max_train_per_class"):
            value = getattr(self, name)
            _require(value is None or value >= 1, name, value, "at least 1, or none for all")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What is trained."""

    encoder: str = "small_cnn"
    """Encoder architecture (`resnet18`, `resnet34`, `small_resnet`, `small_cnn`, `mlp`)."""
    pretext: str = "rotation"
    """Pretext task, what is learnt from unlabelled images: `rotation` or `vae` (a variational auto-encoder)."""


@dataclass(frozen=True, kw_only=True)
class WeighterConfig:
    """Who owns the instance weights, how they learn and when an image is thrown away."""

    weighter: str = "beta"
    """`beta` is BetaDataWeighter (BDW), `counts` the same with counted signs of the meta-gradient in the place of its
    gradient step (not in the paper), `point` its point weights (DW), `l2rw` Learning to Reweight,
    `nearest-neighbour` weights by pixel distance to the target, `given` weights from weights_file, `oracle` knows the
    planted useful images, `random` keeps a random subset, `uniform` is plain training (RotNet)."""
    weight_lr: float = 1.0
    """eta: learning rate of log a and log b (`beta`) or of the weights themselves (`point`); what a visit counts
    (`counts`)."""
    weight_momentum: float = 0.9
    """Heavy-ball momentum on log a and log b (`beta`) or on the weights (`point`)."""
    log_bound: float = 7.0
    """log a and log b stay within [-log_bound, log_bound]."""
    nearest_beta: float | None = None
    """beta of `nearest-neighbour`, w = exp(-beta d), d the squared distance of pixels in [0, 1]; default: 1 / median d,
    which means the same at every image size."""
    weights_file: str | None = None
    """`given`: a Parquet or CSV file with columns index or name, and weight or mean (an instance_weights.parquet, say).
    Images of weight 0 are thrown away before the first epoch."""
    kept_share: float | None = None
    """`random`: share of the source that is kept, drawn by the run's seed. Weighters that learn never keep less than
    this share; the best images by mean weight stay. Others ignore it."""
    normalise_weights: bool = False
    """Divide the weights of a batch by their mean: they change the direction of a step, not its length."""
    weighted_loss: bool = True
    """Multiply losses by the weights; without it they only decide what is pruned, and all images that are kept (by the
    floor `min_kept`, too) count alike, with nothing left for `normalise_weights` to do."""
    meta_every: int = 1
    """Learn weights only at the first of every so many steps of an epoch; the other steps cost what plain ones do."""
    tangent_views: int | None = None
    """Take the tangents on so many views of every image, drawn anew in each step (one rotation of four costs a quarter
    and, without batch norm, is right on average); default: all views, exactly."""
    prune: bool = True
    """Throw images away between epochs; without it weights are learnt all the same."""
    cdf_threshold: float = 0.1
    """lambda: weights below it (`point`: not above it) count as useless."""
    density_threshold: float = 0.5
    """rho: prune once more than this share of an image's Beta density lies below lambda."""
    min_kept: int | None = None
    """Never keep fewer images than this (the best by mean weight stay). Default: kept_share, but at least a batch."""
    burn_in_epochs: int = 0
    """Epochs at the start after which nothing learnt prunes yet: first gradients come from an untrained encoder."""

    learn_share: float = 1.0
    """Learn weights, and prune by them, in epochs that begin within that first share of the budget alone; the rest of
    the run trains on what is kept, at plain training's cost. Not in the paper."""

    def __post_init__(self) -> None:
        _require(_is_finite_positive(self.weight_lr), "weight_lr (eta)", self.weight_lr, "a positive number")
        _require(0 <= self.weight_momentum < 1, "weight_momentum", self.weight_momentum, "0 <= value < 1")
        _require(_is_finite_positive(self.log_bound), "log_bound", self.log_bound, "a positive number")
        _require(
            self.nearest_beta is None or _is_finite_positive(self.nearest_beta),
            "nearest_beta",
            self.nearest_beta,
            "a positive number, or none for 1 / median distance",
        )
        _require(self.meta_every >= 1, "meta_every", self.meta_every, "at least 1")
        _require(
            self.tangent_views is None or self.tangent_views >= 1,
            "tangent_views",
            self.tangent_views,
            "at least 1, or none for all views",
        )
        _require(
            self.kept_share is None or 0 < self.kept_share <= 1,
            "kept_share",
            self.kept_share,
            "above 0, at most 1, or none",
        )
        _require(0 < self.learn_share <= 1, "learn_share", self.learn_share, "above 0, at most 1")
        _require(self.burn_in_epochs >= 0, "burn_in_epochs", self.burn_in_epochs, "0 or more")
        for name, letter in (("cdf_threshold", "lambda"), ("density_threshold", "rho")):
            value = getattr(self, name)
            _require(0 < value < 1, f"{name} ({letter})", value, "between 0 and 1, both excluded")
        _require(self.min_kept is None or self.min_kept >= 1, "min_kept", self.min_kept, "at least 1, or none")


@dataclass(frozen=True, kw_only=True)
class MetaConfig:
    """What the target says: the meta-loss and the design of its batches."""

    meta_loss: str = "prototype"
    """`prototype` (labels), `pretext` (the pretext loss on target images) or a weighted sum such as
    `prototype+0.5*pretext`."""
    ways: int = 10
    """K: classes in an episode."""
    shots: int = 5
    """N: images per class that make the prototype."""
    queries: int = 5
    """Q: images per class that are classified."""
    target_batch: int = 64
    """Target images in a batch of the pretext meta-loss."""
    direction_momentum: float = 0.0
    """Compare instances' gradients with a running mean of the meta-loss's gradient over steps instead of with one
    step's: less noise, some steps late. Not in the paper."""
    direction_every: int = 1
    """Draw a target batch, and pay for the meta pass, only in the first of every so many steps of an epoch that learn;
    the others compare with the same gradient, or mean of gradients. Not in the paper."""
    direction_parameters: Literal["all", "head"] = "all"
    """Parameters whose gradients are compared; `head`: those of the pretext head alone, which costs next to nothing
    (with all views, whatever `tangent_views` says, where weights learn after the update).
    Not in the paper, and only for the pretext meta-loss: prototypes do not depend on the head."""
    natural_direction: bool = False
    """Compare gradients in the metric of their own second moments, and only their directions: with the natural gradient
    F^-1 v in the place of v, divided by each gradient's length. Gradients of all images have much in common; only the
    rest tells them apart. Only for direction_parameters `head`, a linear head and without relative_derivatives. Not in
    the paper."""
    relative_derivatives: bool = False
    """Divide every image's derivative by its own loss, as if the loss were its logarithm: images learnt already
    have small gradients, whatever they are worth. Not in the paper; changes the weights' gradient, not the model's."""
    centred_derivatives: bool = False
    """Subtract the batch's mean from the derivatives: what moves all weights alike tells no image from another. Not in
    the paper; changes the weights' gradient, not the model's."""
    shared_derivatives: bool = False
    """Give every image the derivative that a regression on the encoder's features and the image's colours predicts for
    it, so that images that look alike share their evidence: one visit's is mostly noise. Not in the paper."""
    target_margin: float | None = None
    """`counts`: judge every image once an epoch instead of at every visit, by a regression of the derivatives in which
    the target's own images take part as examples of what helps. On its scale the pool's mean is 0 and the target's 1;
    an image at this margin is as likely to help as not. Not in the paper. Default: judge visits."""
    target_statistics: Literal["target", "source"] = "target"
    """What batch norm normalises target images by: their own batch, as in the paper, or the running statistics of
    source batches, so that the encoder sees both alike. Not in the paper."""

    def __post_init__(self) -> None:
        _require(self.ways >= 2, "ways (K)", self.ways, "at least 2 classes")
        _require(0 <= self.direction_momentum < 1, "direction_momentum", self.direction_momentum, "0 <= value < 1")
        _require(self.direction_every >= 1, "direction_every", self.direction_every, "at least 1")
        for name, letter in (("shots", " (N)"), ("queries", " (Q)"), ("target_batch", "")):
            _require(getattr(self, name) >= 1, name + letter, getattr(self, name), "at least 1 image")
        _require(
            self.target_margin is None or 0 < self.target_margin <= 1,
            "target_margin",
            self.target_margin,
            "above 0, at most 1, or none",
        )
        _require(
            self.target_margin is None or not self.shared_derivatives,
            "target_margin",
            self.target_margin,
            "none with shared_derivatives, which judges visits",
        )
        alone = self.direction_parameters == "head" and not self.relative_derivatives
        _require(
            alone or not self.natural_direction,
            "natural_direction",
            self.natural_direction,
            "false, or direction_parameters 'head' without relative_derivatives",
        )


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How the encoder learns: SGD with heavy-ball momentum and weight decay."""

    epochs: int = 10
    """Length of the run: passes over the kept part of the source (budget_unit `epochs`), or the budget as passes over
    the whole source (budget_unit `images`)."""
    budget_unit: Literal["epochs", "images"] = "epochs"
    """What the run's length is counted in. `epochs`: as in the paper; a run that prunes ends early. `images`: the run
    ends when epochs x pool size source images have passed through training steps, so that it spends on the images that
    are kept what it saved on the others."""
    budget_images: int | None = None
    """Source images that pass through training steps until the run ends, in the place of epochs. Default: epochs x pool
    size where budget_unit is `images`."""
    batch_size: int = 64
    """k: source images in a step, over all workers."""
    learning_rate: float = 0.1
    """alpha: learning rate of the encoder."""
    momentum: float = 0.9
    """Heavy-ball momentum of the encoder."""
    weight_decay: float = 1e-4
    """L2 penalty of the encoder's parameters."""
    time_budget: float | None = None
    """Minutes in which the run is to end, evaluation and resumed parts included, loading and final_measures not.
    Between epochs it learns weights in fewer steps and from smaller meta-batches (down to 1 shot and 1 query per class,
    8 images for `pretext`) if the projection asks for it, and trains fewer epochs if even that takes too long; a
    warning and metrics.csv say what was done. Such a run is not repeatable bit for bit. Default: no limit."""
    schedule: Literal["milestones", "cosine", "constant"] = "milestones"
    """How the learning rate falls: at lr_milestones, along half a cosine to 0 at the end of the budget, or not."""
    warm_up: float = 0.0
    """Share of the budget over which the learning rate rises from 0, in a straight line."""
    lr_milestones: tuple[int, ...] = ()
    """Epochs (budget in images: passes over the whole source) after which the learning rate is multiplied by
    lr_gamma."""
    lr_gamma: float = 0.1
    """Factor at a milestone."""
    seed: int = 0
    """Seed of everything random in a run but the data's splits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""
    precision: Precision = "float32"
    """`float32` is exact; `tf32` rounds factors in convolutions to 11 bits (NVIDIA GPUs since Ampere); `bfloat16` lets
    the encoder train in it (8 bits), while parameters, losses, weights' derivatives and evaluation stay float32."""
    compile: bool = False
    """Compile the encoder for its training and meta passes (torch.compile; about a minute at the start, and a run that
    is resumed continues to rounding, not bit for bit). For long runs on a GPU."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(_is_finite_positive(self.learning_rate), "learning_rate", self.learning_rate, "a positive number")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "0 <= value < 1")
        _require(
            math.isfinite(self.weight_decay) and self.weight_decay >= 0,
            "weight_decay",
            self.weight_decay,
            "0 or a positive number",
        )
        _require(
            self.budget_images is None or self.budget_images >= self.batch_size,
            "budget_images",
            self.budget_images,
            f"at least one batch, batch_size = {self.batch_size} images, or none",
        )
        _require(0 <= self.warm_up < 1, "warm_up", self.warm_up, "0 <= value < 1, a share of the budget")
        _require(
            self.schedule == "milestones" or not self.lr_milestones,
            "lr_milestones",
            self.lr_milestones,
            f"none with schedule {self.schedule!r}, or schedule 'milestones'",
        )
        _require(
            list(self.lr_milestones) == sorted({m for m in self.lr_milestones if m >= 1}),
            "lr_milestones",
            self.lr_milestones,
            "rising epochs from 1",
        )
        _require(
            self.time_budget is None or _is_finite_positive(self.time_budget),
            "time_budget",
            self.time_budget,
            "a positive number of minutes, or none",
        )
        _require(_is_finite_positive(self.lr_gamma), "lr_gamma", self.lr_gamma, "a positive number")
        _require(self.seed >= 0, "seed", self.seed, "0 or more")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How good the encoder is for the target."""

    measure: str = "accuracy"
    """What chooses the best epoch on the target's validation split and is reported on its test split: `accuracy` of a
    logistic regression (the paper's), `pretext_loss` (the pretext task's own, lower is better), `knn_accuracy`,
    `fine_tuned_accuracy` (minutes to hours: for final_measures) or `rankme` (needs no labels)."""
    monitors: tuple[str, ...] = ()
    """Further measures of the validation split, a column each in metrics.csv; they choose nothing."""
    final_measures: tuple[str, ...] = ()
    """Further measures of the best encoder on the test split, taken once at the end."""
    evaluate_every: float = 1
    """Epochs (budget in images: passes over the whole source, or a fraction of one) between two evaluations on the
    validation split; they are made after an epoch, and the last epoch is always evaluated."""
    layer: str | None = None
    """Layer of the backbone whose features are measured, averaged over positions (`layer2` is a ResNet's second
    residual block, the paper's Table 2); default: the backbone's output."""
    neighbours: int = 20
    """Nearest neighbours that vote in `knn_accuracy`."""
    fine_tuning_epochs: int = 100
    """Epochs of every cell of the grid of `fine_tuned_accuracy`."""
    max_iterations: int = 800
    """Upper limit of L-BFGS iterations of the logistic regression."""

    def __post_init__(self) -> None:
        _require(_is_finite_positive(self.evaluate_every), "evaluate_every", self.evaluate_every, "a positive number")
        for name in ("max_iterations", "neighbours", "fine_tuning_epochs"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run leaves behind, and where."""

    run_dir: str = "runs/default"
    """Folder of this run; must be new, empty, or hold this very run for --resume."""
    resume: bool = False
    """Continue from the last checkpoint in run_dir."""
    checkpoint_every: int = 1
    """Epochs (budget in images: passes over the whole source) between two checkpoints; the last epoch is always
    saved."""
    checkpoint_minutes: float = 30.0
    """Save in the middle of an epoch, too, when the last checkpoint is so many minutes old."""
    keep_checkpoints: int = 2
    """Last checkpoints to keep, those in the middle of an epoch included; the best epoch's, if it was saved, is kept
    besides."""
    storage_path: str | None = None
    """Folder, s3://bucket/path or gs://bucket/path that gets a copy of the run directory with every checkpoint, from
    which --resume continues on another machine. Default: no copy."""
    storage_patience: float = 60.0
    """Seconds for which a disk or storage that fails is tried again. A copy that fails in the middle of a run is made
    up for at the next checkpoint."""
    step_timeout: float = 1800.0
    """Seconds after which a training step that does not end is taken for a hang: the process ends with a trace, so that
    whoever started it can start it again. With --num-workers a worker that answers nothing for so long (ten minutes at
    most) is replaced as well, whatever it was doing."""
    record_trajectory: bool = False
    """`beta`: keep log a and log b of every image after every epoch (8 bytes each), from which `python -m bdw replay`
    tells what every rho and lambda would have pruned. Best with --no-prune."""
    diagnose_signal: bool = False
    """Measure how much of what the meta-gradient says about an image is signal and how much noise (25 bytes an image,
    little time): signal.json, a section of the report and a line at the end. Measures single visits. With
    `shared_derivatives` or `normalise_weights` it cannot forecast pruning. Changes nothing about the run."""
    report: bool = True
    """Write report.html at the end."""

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "keep_checkpoints"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name, unit in (("checkpoint_minutes", "minutes"), ("step_timeout", "seconds")):
            value = getattr(self, name)
            _require(_is_finite_positive(value), name, value, f"a positive number of {unit}")
        _require(self.step_timeout <= YEAR, "step_timeout", self.step_timeout, f"up to a year, {YEAR} seconds")
        _require(0 <= self.storage_patience < math.inf, "storage_patience", self.storage_patience, "0 or more seconds")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that a run depends on. `flat()` and `from_flat()` are its JSON form: unique field names, one level."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    weighter: WeighterConfig = field(default_factory=WeighterConfig)
    meta: MetaConfig = field(default_factory=MetaConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def flat(self) -> dict[str, Any]:
        """All fields of all sections by their unique names, JSON types only."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for section in dataclasses.fields(self)
            for name, value in vars(getattr(self, section.name)).items()
        }

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Self:
        """The config with these fields set and defaults elsewhere. Unknown names and wrong types are `InputError`s."""
        return cls().replace(**values)

    @classmethod
    def from_earlier(cls, values: Mapping[str, Any]) -> Self:
        """As `from_flat`, for what a run wrote that may be older than this version; see `of_today`."""
        return cls.from_flat(of_today(values))

    def replace(self, **values: Any) -> Self:
        """A copy with these fields (unique names, any section) changed and everything checked again."""
        owners = field_owners()
        per_section: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            if name not in owners:
                raise unknown_option("config field", name, owners)
            section, annotation = owners[name]
            per_section.setdefault(section, {})[name] = _coerced(name, value, annotation)
        sections = {s: dataclasses.replace(getattr(self, s), **changed) for s, changed in per_section.items()}
        return dataclasses.replace(self, **sections)


@dataclass(frozen=True, kw_only=True)
class WorkersConfig:
    """How Ray spreads a run over a machine or a cluster; what is computed does not depend on it."""

    num_workers: int | None = None
    """Workers, started by Ray on this machine or on the cluster that RAY_ADDRESS names. Default: this process."""
    min_workers: int | None = None
    """Go on with so few workers while machines are gone, with more when they come. Default: num_workers."""
    cpus_per_worker: float = 1.0
    """CPUs of a worker."""
    gpus_per_worker: float = 0.0
    """GPUs of a worker."""
    max_failures: int = 3
    """Failures without any progress in between after which the run is given up; announced pre-emptions do not count."""
    start_timeout: float = 900.0
    """Seconds to wait for machines that a cluster has yet to start; tried three times."""

    def __post_init__(self) -> None:
        for name in ("num_workers", "min_workers"):
            value = getattr(self, name)
            _require(value is None or value >= 1, name, value, "at least 1, or none")
        if self.min_workers is not None:
            _require(
                self.num_workers is not None and self.min_workers <= self.num_workers,
                "min_workers",
                self.min_workers,
                f"at most num_workers = {self.num_workers}",
            )
        for name in ("cpus_per_worker", "start_timeout"):
            value = getattr(self, name)
            _require(_is_finite_positive(value), name, value, "a positive number")
        _require(0 <= self.gpus_per_worker < math.inf, "gpus_per_worker", self.gpus_per_worker, "0 or more")
        _require(self.max_failures >= 0, "max_failures", self.max_failures, "0 or more")


def of_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config of an earlier run without the fields that are gone since.

    Raises `InputError` if one of them had another value than its default: no run does that any more.
    """
    for name, default in REMOVED.items():
        if values.get(name, default) != default:
            raise InputError(
                f"{name}: {values[name]!r} is from an earlier version and the option is gone; allowed: {default!r} "
                f"(revision {LAST_WITH_REMOVED} still reads this run)"
            )
    return {name: value for name, value in values.items() if name not in REMOVED}


def field_owners() -> dict[str, tuple[str, Any]]:
    """Field name -> (section, type), over all sections of `RunConfig`."""
    return {
        name: (section, annotation)
        for section, cls in typing.get_type_hints(RunConfig).items()
        for name, annotation in typing.get_type_hints(cls).items()
    }


def _coerced(name: str, value: Any, annotation: Any) -> Any:
    """The value as the field's type: exact types, but an int where a float is wanted and a list for a tuple."""
    origin = typing.get_origin(annotation)
    if origin is Literal:
        if value not in typing.get_args(annotation):
            raise unknown_option(name, str(value), map(str, typing.get_args(annotation)))
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{name}: {value!r} cannot work; allowed: a list")
        return tuple(_coerced(name, item, typing.get_args(annotation)[0]) for item in value)
    accepted = typing.get_args(annotation) if origin in (types.UnionType, typing.Union) else (annotation,)
    if float in accepted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) not in accepted:
        wanted = " or ".join("none" if t is type(None) else t.__name__ for t in accepted)
        raise InputError(f"{name}: {value!r} is of type {type(value).__name__}; allowed: {wanted}")
    return value
