"""What a GPU's kinds of arithmetic are worth: `python -m benchmarks.gpu --save [--data-root DIR]`.

ResNet-18 at 84 pixels with the paper's STL-10 design (32 images with four rotations, 10-way 10-shot 10-query). For
every kind of arithmetic

images/s   source images a second of a plain step, an exact BDW step, and one with tangents on one view of four and
           weights learnt in every second step
of peak    products and sums that the step needs by count (`torch.utils.flop_counter`, convolutions and linear layers
           alone, in float32 and eager), over those that the chip can do in that time in that arithmetic
peak MB    of the device's memory, above what lay there before the step
cosine     of the step's meta-gradient dL_meta/dw with that in float32, from the same moment of training with the same
           draws; median and lowest. Moments follow each other by a float32 step, the first one after `--warm-up`

Cosines mean something with real images only: on random pixels and for an untrained net, gradients are noise, in which
rounding gets lost or not by chance. `--device cpu` runs a tiny net, to see that all of it runs.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.compiler.config
import tyro
from torch import Tensor
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from bdw.config import Precision, RunConfig, presets
from bdw.data import Problem, load
from bdw.encoders import precision, untouched_statistics
from bdw.encoders.compilation import compile_encoder, require_compiler
from bdw.errors import InputError
from bdw.parallel import device
from bdw.pretext import PretextModel, Views
from bdw.training.trainer import Trainer
from bdw.weighting.gradient.estimators import ForwardMode, choose
from bdw.weighting.gradient.target_gradient import Direction
from bdw.weighting.step import Learner, SourceBatch, train_step
from bdw.weighting.weighters.fixed import FixedWeights
from benchmarks.harness import interleaved_seconds, provenance, ratio, write_result
from benchmarks.peers import difference
from benchmarks.random_problem import random_problem
from benchmarks.step import CHEAP_EVERY, LEARNING_RATE, on_some_views

RANDOM_IMAGES = 2000
STEPS = ("plain", "BDW", "cheap BDW")
PEAK_TFLOPS: dict[str, dict[Precision, float]] = {
    "H100 PCIe": {"float32": 51.2, "tf32": 378.0, "bfloat16": 756.0},
    "H100 NVL": {"float32": 60.0, "tf32": 417.5, "bfloat16": 835.5},
    "H100": {"float32": 66.9, "tf32": 494.7, "bfloat16": 989.4},
    "H200": {"float32": 66.9, "tf32": 494.7, "bfloat16": 989.4},
    "A100": {"float32": 19.5, "tf32": 156.0, "bfloat16": 312.0},
}
"""Dense, by what a GPU's name contains, the first that fits; NVIDIA's data sheets (which give tensor cores' numbers
with sparsity: twice these). "H100" alone is the SXM5 module."""


@dataclass(frozen=True)
class Kind:
    """A kind of arithmetic."""

    precision: Precision
    compiled: bool = False
    cuda_graphs: bool = False
    compiled_tangents: bool = False


KINDS = {
    "float32": Kind("float32"),
    "tf32": Kind("tf32"),
    "bfloat16": Kind("bfloat16"),
    "float32 all compiled": Kind("float32", compiled=True, compiled_tangents=True),
    "tf32 compiled": Kind("tf32", compiled=True),
    "tf32 all compiled": Kind("tf32", compiled=True, compiled_tangents=True),
    "bfloat16 compiled": Kind("bfloat16", compiled=True),
    "bfloat16 CUDA graphs": Kind("bfloat16", compiled=True, cuda_graphs=True),
}
"""All compiled: the tangent pass, too, which no run does (see `bdw.encoders.compilation`)."""
EXACT = "float32"


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    device: Literal["cuda", "cpu"] = "cuda"
    """On the CPU a tiny net."""
    kinds: tuple[str, ...] = tuple(KINDS)
    """Kinds of arithmetic; float32, the reference of the others, is always among them."""
    data_root: str | None = None
    """Folder with real images as .npz files; default: random pixels."""
    source: str = "imagenet-mini"
    """Images to train on."""
    target: str = "cifar10"
    """Labelled images of ten classes or more."""
    max_source: int = 5000
    """Number of the source's images to take."""
    steps: int = 20
    """Steps that are timed together."""
    rounds: int = 7
    """How often; all kinds take turns."""
    warm_up: int = 300
    """Float32 steps of training before the first cosine."""
    moments: int = 5
    """At which cosines are taken."""
    peak_tflops: tuple[float, float, float] | None = None
    """The chip's in float32, tf32 and bfloat16, dense; default: by its name."""
    save: bool = False
    """Keep the result in benchmarks/results."""
    seed: int = 0
    """Seed of the run."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise InputError(f"kinds: {unknown} cannot work; allowed: {', '.join(KINDS)}")
        for name in ("steps", "rounds", "moments"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: {getattr(self, name)} cannot work; allowed: at least 1")
        if self.warm_up < 0:
            raise InputError(f"warm_up: {self.warm_up} cannot work; allowed: 0 or more")


def config_of(arguments: Arguments) -> RunConfig:
    """The paper's design, or a tiny one on the CPU."""
    config = presets.build("stl10").replace(device=arguments.device, seed=arguments.seed, report=False)
    if arguments.device == "cpu":
        tiny = {"encoder": "small_cnn", "image_size": 16, "crop_size": 16, "batch_size": 8, "shots": 2, "queries": 2}
        config = config.replace(**tiny)
    if arguments.data_root is None:
        return config
    names = {"source": arguments.source, "target": arguments.target, "data_root": arguments.data_root}
    return config.replace(**names, max_source=arguments.max_source)


def problem_of(config: RunConfig, folder: Path) -> Problem:
    """Its images, or random ones."""
    if config.data.data_root is not None:
        return load(config.data, folder)
    per_class = config.meta.shots + config.meta.queries
    return random_problem(folder, RANDOM_IMAGES, 3, config.data.image_size, per_class)


def usable(kinds: tuple[str, ...], on: torch.device) -> tuple[dict[str, Kind], dict[str, str]]:
    """The kinds that this machine can do, float32 first, and why it cannot do the others."""
    found, left_out = {EXACT: KINDS[EXACT]}, {}
    for name in kinds:
        try:
            precision.require_supported(KINDS[name].precision, on)
            if KINDS[name].compiled:
                require_compiler(on)
            found[name] = KINDS[name]
        except InputError as error:
            left_out[name] = str(error)
    return found, left_out


class Subject:
    """A run in one kind of arithmetic, as far as its steps need one."""

    def __init__(self, trainer: Trainer, kind: Kind):
        self.trainer, self.kind = trainer, kind
        if kind.compiled:
            compile_encoder(trainer.learner.model.encoder, cuda_graphs=kind.cuda_graphs)
        bdw = dataclasses.replace(trainer.learner, augment=lambda images, _: images)
        assert bdw.alignment is not None
        estimator = CompiledForwardMode(bdw.model) if kind.compiled_tangents else choose(bdw.model)
        bdw = dataclasses.replace(bdw, alignment=dataclasses.replace(bdw.alignment, estimator=estimator))
        plain = dataclasses.replace(bdw, weighter=FixedWeights(np.ones(len(trainer.images))), alignment=None)
        self._learners = {"plain": plain, "BDW": bdw, "cheap BDW": on_some_views(bdw)}

    def run(self, step: str, batch: SourceBatch, steps: int) -> None:
        """So many steps of that sort."""
        with self._arithmetic():
            for number in range(steps):
                train_step(self._learners[step], batch, learn=step != "cheap BDW" or number % CHEAP_EVERY == 0)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Within, steps are of this kind; some of it is the whole process's, in which the kinds take turns."""
        precision.compute_in(self.kind.precision, self.trainer.learner.model.encoder)
        yield

    def stand_where(self, other: Learner) -> None:
        """Take over another run's model, optimiser and random state."""
        mine = self.trainer.learner
        mine.model.load_state_dict(other.model.state_dict())
        mine.optimiser.load_state_dict(copy.deepcopy(other.optimiser.state_dict()))
        mine.randomness.load_state_dict(other.randomness.state_dict())

    def derivatives(self, batch: SourceBatch) -> Tensor:
        """<v, grad L_i> (k,) of one BDW step, -k/alpha times dL_meta/dw."""
        with self._arithmetic():
            found = train_step(self._learners["BDW"], batch).derivatives
        assert found is not None
        return found


class CompiledForwardMode(ForwardMode):
    """Forward mode by compiled code, which makes all convolutions itself; another batch size is compiled anew."""

    def derivatives(
        self,
        views: Views,
        weights: Tensor,
        instances: int,
        theta: Mapping[str, Tensor],
        direction: Direction,
        kept: Iterable[Tensor | None] = (),
    ) -> Tensor:
        """As of its base class."""
        del weights, instances, kept
        moving = {name: theta[name] for name in direction}
        held = {name: value for name, value in theta.items() if name not in direction}
        with untouched_statistics(self.model), torch.no_grad():
            return _compiled_tangents()(self.model, views, moving, held, dict(direction))


@functools.cache
def _compiled_tangents() -> Callable[..., Tensor]:
    def tangents(
        model: PretextModel,
        views: Views,
        moving: dict[str, Tensor],
        held: dict[str, Tensor],
        direction: dict[str, Tensor],
    ) -> Tensor:
        def losses(params: dict[str, Tensor]) -> Tensor:
            return model.task.losses(functional_call(model, {**held, **params}, (views,)))

        pushed: Tensor = torch.func.jvp(losses, (moving,), (direction,))[1]
        return pushed

    compiled: Callable[..., Tensor] = torch.compile(tangents)
    return compiled


def random_batch(trainer: Trainer, generator: torch.Generator) -> SourceBatch:
    """Augmented source images on the device, drawn with replacement."""
    size = trainer.config.optimiser.batch_size
    indices = torch.randint(len(trainer.images), (size,), generator=generator)
    images = trainer._augment(trainer.images[indices], trainer.learner.randomness["augmentation"])
    return SourceBatch(indices, images, size)


def cosines(
    subjects: dict[str, Subject], guide: Subject, warm_up: int, moments: int, seed: int
) -> dict[str, list[float]]:
    """Cosines of every kind's derivatives with the exact ones, at successive moments of the guide's float32
    training."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(warm_up + moments):
        batch = random_batch(guide.trainer, generator)
        if number >= warm_up:
            told = {}
            for name, subject in subjects.items():
                subject.stand_where(guide.trainer.learner)
                told[name] = subject.derivatives(batch)
            for name in subjects:
                found[name].append(difference(told[name], told[EXACT])[0])
        guide.run("plain", batch, 1)
    return found


def operations(subject: Subject, step: str, batch: SourceBatch) -> float:
    """Operations of convolutions and linear layers in a step of that sort; a product and a sum are two."""
    steps = CHEAP_EVERY if step == "cheap BDW" else 1
    with FlopCounterMode(display=False) as counter:
        subject.run(step, batch, steps)
    return int(counter.get_total_flops()) / steps


def peak_tflops(arguments: Arguments, on: torch.device) -> dict[Precision, float]:
    """Highest TFLOPS of the chip by arithmetic; empty if unknown."""
    if arguments.peak_tflops is not None:
        return dict(zip(("float32", "tf32", "bfloat16"), arguments.peak_tflops, strict=True))
    name = torch.cuda.get_device_name(on) if on.type == "cuda" else ""
    return next((peak for part, peak in PEAK_TFLOPS.items() if part in name), {})


def peak_memory(run: Callable[[], None], on: torch.device) -> float | None:
    """MB of the GPU's memory that a run takes for a while; unknown on the CPU."""
    if on.type != "cuda":
        return None
    torch.cuda.synchronize(on)
    torch.cuda.reset_peak_memory_stats(on)
    before = torch.cuda.memory_allocated(on)
    run()
    torch.cuda.synchronize(on)
    return (torch.cuda.max_memory_allocated(on) - before) / 1e6


def main(arguments: Arguments) -> None:
    """Measure, print a table, and keep the result if asked to."""
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: torch sees no GPU here; allowed: --device cpu, which runs a tiny net")
    on = device.choose(arguments.device)
    kinds, left_out = usable(arguments.kinds, on)
    config = config_of(arguments)
    # By default torch runs the ninth variant of a function as eager code, whoever's variants the others are.
    many = torch.compiler.config.patch(recompile_limit=64)  # type: ignore[attr-defined]
    with many, tempfile.TemporaryDirectory() as folder:
        problem = problem_of(config, Path(folder))
        subjects: dict[str, Subject] = {}

        def subject(name: str, kind: Kind) -> Subject:
            return Subject(Trainer(config.replace(run_dir=f"{folder}/{name}"), problem=problem), kind)

        guide = subject("guide", KINDS[EXACT])
        batch = random_batch(guide.trainer, torch.Generator().manual_seed(arguments.seed))
        for name, kind in kinds.items():
            try:  # What one kind cannot do must not cost the numbers of the others.
                subjects[name] = subject(name, kind)
                for step in STEPS:
                    subjects[name].run(step, batch, CHEAP_EVERY)
            except RuntimeError as error:
                if name == EXACT:
                    raise
                left_out[name] = str(error).partition("\n")[0]
                subjects.pop(name, None)
        for name, reason in left_out.items():
            print(f"left out: {name}: {reason}", flush=True)
        alike = cosines(subjects, guide, arguments.warm_up, arguments.moments, arguments.seed)
        needed = {step: operations(guide, step, batch) for step in STEPS}
        variants: dict[str, Callable[[], None]] = {}
        for name, one in subjects.items():
            for group in one.trainer.learner.optimiser.param_groups:
                group["lr"] = LEARNING_RATE
            for step in STEPS:
                variants[f"{name}: {step}"] = lambda one=one, step=step: one.run(step, batch, arguments.steps)  # type: ignore[misc]
        seconds = interleaved_seconds(variants, arguments.rounds)
        memory = {name: peak_memory(run, on) for name, run in variants.items()}
    peak = peak_tflops(arguments, on)
    rows: list[dict[str, Any]] = []
    for name, kind in kinds.items():
        if name not in subjects:
            continue
        for step in STEPS:
            variant = f"{name}: {step}"
            median = statistics.median(seconds[variant]) / arguments.steps
            limit = peak.get(kind.precision)
            rows.append(
                {
                    "kind": name,
                    "step": step,
                    "images_per_second": config.optimiser.batch_size / median,
                    "milliseconds": 1000 * median,
                    "over_float32_plain": ratio(seconds, variant, f"{EXACT}: plain"),
                    "over_own_plain": ratio(seconds, variant, f"{name}: plain"),
                    "share_of_peak": None if limit is None else needed[step] / median / (1e12 * limit),
                    "peak_mb": memory[variant],
                    "cosine": statistics.median(alike[name]),
                    "lowest_cosine": min(alike[name]),
                }
            )
    print(table(rows, needed, peak))
    if arguments.save:
        contents = {**provenance(arguments.seed), "arguments": vars(arguments), "left_out": left_out}
        sizes = {"operations": needed, "peak_tflops": peak, "encoder": config.encoder.encoder}
        write_result(f"gpu-{arguments.device}", {**contents, **sizes, "rows": rows}, data_root=arguments.data_root)


def table(rows: list[dict[str, Any]], needed: dict[str, float], peak: dict[Precision, float]) -> str:
    """The rows in words."""
    counted = ", ".join(f"{step} {count / 1e9:.4g}" for step, count in needed.items())
    lines = [f"\nbillions of operations a step: {counted}"]
    if not peak:
        lines.append("nobody says what this chip can do at most; give --peak-tflops FLOAT32 TF32 BFLOAT16")
    lines.append(
        f"{'arithmetic':22} {'step':10} {'images/s':>9} {'ms':>8} {'x plain':>8} {'of peak':>8} {'peak MB':>8} "
        f"{'cosine':>8} {'lowest':>8}"
    )
    for row in rows:
        share = "-" if row["share_of_peak"] is None else f"{row['share_of_peak']:.1%}"
        memory = "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        lines.append(
            f"{row['kind']:22} {row['step']:10} {row['images_per_second']:9.0f} {row['milliseconds']:8.2f} "
            f"{row['over_own_plain'][0]:8.2f} {share:>8} {memory:>8} {row['cosine']:8.4f} "
            f"{row['lowest_cosine']:8.4f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments, description=__doc__))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
