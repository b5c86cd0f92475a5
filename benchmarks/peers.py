"""The meta-gradient dL_meta/dw by ours and by general bi-level libraries: `python -m benchmarks.peers`.

All start from the same parameters, momentum buffers, instance weights, source batch and target batch, make one SGD step
with momentum and weight decay on the weighted pretext loss, and differentiate the target's loss after it with respect
to the weights. Their ways to it:

ours              `bdw.weighting.step`: a plain step, the target's gradient, one forward-mode pass at the old parameters
double backward   `bdw.meta_gradient.reference_weight_gradient`, written for this problem alone
torchopt          `MetaSGD` keeps the graph of the update, double backward through it
higher            `innerloop_ctx`, the same in another way
betty unrolled    `IterativeProblem` with `first_order=False`, the same again
betty darts       `ImplicitProblem` with its default `darts`, as in Betty's own example of reweighting

All but the last are exact. `darts` takes central differences of dL/dw along v around the parameters *after* the step.
It knows no learning rate, which is multiplied in here; and its error does not vanish with the differences, since the
gradients of the L_i are those at theta', not at theta.

The libraries are no dependencies of this project. They need an environment of their own, with this repository in it:

    python -m venv .peers && .peers/bin/pip install -e . torchopt higher && .peers/bin/pip install --no-deps betty-ml
    .peers/bin/python -m benchmarks.peers --setting stl10

What is not installed, or does not run, is left out with its reason. (betty-ml asks for "torch>=1.6.*", which newer
installers refuse to read, hence `--no-deps`.)
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import logging
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn
from torch.func import functional_call

from bdw.pretext import Views
from bdw.weighting.gradient.forward_mode import reference_weight_gradient
from bdw.weighting.step import train_step
from benchmarks.harness import interleaved_seconds, peak_megabytes, provenance, ratio, write_result
from benchmarks.peer_problem import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, FixedTarget, Given, Problem, problem

OURS = "ours"


@dataclass(frozen=True)
class Arguments:
    """Command line of this benchmark."""

    setting: Literal["digits", "tiny-imagenet", "stl10", "stl10-2shot"] = "tiny-imagenet"
    """Model, image size and design, as in benchmarks.step."""
    meta_loss: Literal["prototype", "pretext"] = "prototype"
    """The target's loss."""
    rounds: int = 9
    """How often each is timed; they take turns."""
    threads: int = 1
    """torch's threads."""
    save: bool = False
    """Keep the result in benchmarks/results."""
    seed: int = 0
    """Seed of the random images."""


def _ours(start: Problem) -> Callable[[], Tensor]:
    weighter = Given(start.weights)
    learner = dataclasses.replace(start.learner, weighter=weighter)
    learner = learner.asking(FixedTarget(start.losses._meta_loss, start.losses._target))

    def run() -> Tensor:
        train_step(learner, start.batch)
        assert weighter.gradient is not None
        return weighter.gradient

    return run


def _double_backward(start: Problem) -> Callable[[], Tensor]:
    losses = start.losses
    params = {name: value.detach() for name, value in losses.named_parameters()}
    buffers = dict(zip(params, start.momentum_buffers(), strict=True))

    def run() -> Tensor:
        return reference_weight_gradient(
            lambda at: functional_call(losses, at, (start.views,)),
            lambda at: functional_call(losses, at, (None,)),
            params,
            start.weights,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
            momentum_buffers=buffers,
        )

    return run


def _torchopt(start: Problem) -> Callable[[], Tensor]:
    torchopt: Any = importlib.import_module("torchopt")
    module = start.losses
    buffers = dict(zip(map(id, module.parameters()), start.momentum_buffers(), strict=True))
    optimiser = torchopt.MetaSGD(
        module, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, moment_requires_grad=False
    )
    # Its optimisers take no other's state; theirs holds the buffers in the order of their own containers.
    leaves = torchopt.pytree.tree_leaves(optimiser.param_containers_groups[0])
    before, trace, after = optimiser.impl.init(tuple(leaves))
    optimiser.load_state_dict([(before, trace._replace(trace=[buffers[id(leaf)] for leaf in leaves]), after)])
    parameters = torchopt.extract_state_dict(module, by="reference", detach_buffers=True)
    state = torchopt.extract_state_dict(optimiser, by="reference")

    def run() -> Tensor:
        weights = start.leaf_weights()
        optimiser.step(start.weighted(module(start.views), weights))
        (gradient,) = torch.autograd.grad(module(None), weights)
        torchopt.recover_state_dict(module, parameters)
        torchopt.recover_state_dict(optimiser, state)
        return gradient

    run()  # the first step of all would not look at the buffers
    return run


def _higher(start: Problem) -> Callable[[], Tensor]:
    higher: Any = importlib.import_module("higher")

    def run() -> Tensor:
        weights = start.leaf_weights()
        with higher.innerloop_ctx(start.losses, start.learner.optimiser) as (module, optimiser):
            optimiser.step(start.weighted(module(start.views), weights))
            (gradient,) = torch.autograd.grad(module(None), weights)
        return gradient

    return run


class _WeightTable(nn.Module):
    """The instance weights as Betty's upper level."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self) -> Tensor:
        return self.weights


def _betty(start: Problem, *, unrolled: bool) -> Callable[[], Tensor]:
    engine: Any = importlib.import_module("betty.engine")
    problems: Any = importlib.import_module("betty.problems")
    configs: Any = importlib.import_module("betty.configs")
    told: list[Tensor] = []
    parameters = [value.detach().clone() for value in start.losses.parameters()]
    buffers = [value.clone() for value in start.momentum_buffers()]

    class Upper(problems.ImplicitProblem):  # type: ignore[misc]
        def training_step(self, batch: Any) -> Tensor:
            loss: Tensor = self.lower.target_loss()
            if not unrolled:  # Prototypes do not depend on the head, and `darts` insists that all parameters matter.
                loss = loss + 0 * sum(value.sum() for value in self.lower.module.parameters())
            return loss

        def custom_optimizer_step(self) -> None:
            told.append(self.module.weights.grad)

    base = problems.IterativeProblem if unrolled else problems.ImplicitProblem

    class Lower(base):  # type: ignore[misc,valid-type]
        def on_inner_loop_start(self) -> None:
            if unrolled:  # Otherwise this step's graph would grow out of all earlier ones.
                self.params = tuple(value.clone().requires_grad_() for value in parameters)
                for state, buffer in zip(self.optimizer.state, buffers, strict=True):
                    state["momentum_buffer"] = buffer
            else:  # Where `darts` leaves parameters is not where it found them.
                with torch.no_grad():
                    for value, at, buffer in zip(self.module.parameters(), parameters, buffers, strict=True):
                        value.copy_(at)
                        self.optimizer.state[value]["momentum_buffer"].copy_(buffer)

        def losses(self, views: Sequence[Any] | None) -> Tensor:
            views = None if views is None else Views(*views)
            result: Tensor = self.fmodule(self.params, self.buffers, views) if unrolled else self.module(views)
            return result

        def target_loss(self) -> Tensor:
            return self.losses(None)

        def training_step(self, batch: Any) -> Tensor:
            return start.weighted(self.losses(batch), self.upper())

    table = _WeightTable(start.weights.clone())
    upper = Upper(
        name="upper",
        config=configs.Config(type="darts", first_order=not unrolled, retain_graph=True),
        module=table,
        optimizer=torch.optim.SGD(table.parameters(), lr=1.0),
        train_data_loader=[(torch.zeros(1),)],
        device=start.weights.device,
    )
    lower = Lower(
        name="lower",
        config=configs.Config(type="darts", unroll_steps=1, retain_graph=unrolled),
        module=start.losses,
        optimizer=start.learner.optimiser,
        train_data_loader=[start.views],
        device=start.weights.device,
    )
    dependencies = {"u2l": {upper: [lower]}, "l2u": {lower: [upper]}}
    logging.disable(logging.INFO)  # it announces itself on every start
    levels = engine.Engine(problems=[upper, lower], config=configs.EngineConfig(), dependencies=dependencies)
    logging.disable(logging.NOTSET)
    levels.train()

    def run() -> Tensor:
        told.clear()
        levels.global_step += 1
        levels.train_step()
        (gradient,) = told
        return gradient if unrolled else LEARNING_RATE * gradient

    return run


EXACT: dict[str, Callable[[Problem], Callable[[], Tensor]]] = {
    OURS: _ours,
    "double backward": _double_backward,
    "torchopt": _torchopt,
    "higher": _higher,
    "betty unrolled": functools.partial(_betty, unrolled=True),
}
APPROXIMATE: dict[str, Callable[[Problem], Callable[[], Tensor]]] = {
    "betty darts": functools.partial(_betty, unrolled=False)
}
ALL = {**EXACT, **APPROXIMATE}


def prepare(
    name: str, setting: str, meta_loss: str, seed: int, dtype: torch.dtype, threads: int
) -> Callable[[], Tensor]:
    """A function without arguments that computes dL_meta/dw (k,) in that way. `ImportError` where its library is not
    installed; a library may raise anything else."""
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", module="betty|functorch|higher|torchopt")  # they are older than this torch
    return ALL[name](problem(setting, meta_loss, seed, dtype))


def difference(gradient: Tensor, exact: Tensor) -> tuple[float, float]:
    """Cosine, and norm of the difference over the exact norm."""
    a, b = gradient.detach().double().cpu(), exact.detach().double().cpu()
    return float(torch.dot(a, b) / (a.norm() * b.norm())), float((a - b).norm() / b.norm())


def main(arguments: Arguments) -> None:
    """Compare the gradients, measure, print a table, and keep the result if asked to."""
    shared = (arguments.setting, arguments.meta_loss, arguments.seed, torch.float32, arguments.threads)
    variants: dict[str, Callable[[], Tensor]] = {}
    left_out: dict[str, str] = {}
    gradients: dict[str, Tensor] = {}
    for name in ALL:
        try:
            variants[name] = prepare(name, *shared)
            gradients[name] = variants[name]()
        except Exception as error:  # whatever a library does with a torch that it was not made for
            variants.pop(name, None)
            left_out[name] = f"{type(error).__name__}: {error}"
            print(f"left out: {name}, {left_out[name]}")
    seconds = interleaved_seconds(variants, arguments.rounds)
    rows: list[dict[str, Any]] = []
    for name in variants:
        median, low, high = ratio(seconds, name, OURS)
        cosine, relative = difference(gradients[name], gradients[OURS])
        memory = peak_megabytes(prepare, name, *shared)
        rows.append(
            {
                "name": name,
                "ratio": median,
                "lowest": low,
                "highest": high,
                "peak_mb": memory,
                "cosine": cosine,
                "relative_error": relative,
            }
        )
    ours_ms = 1000 * statistics.median(seconds[OURS])
    print(f"\n{arguments.setting}, {arguments.meta_loss}: ours {ours_ms:.1f} ms (median), compared in float32")
    print(
        f"{'':16} {'x ours':>7} {'lowest':>7} {'highest':>7} {'peak MB':>8} {'x ours':>7} {'cosine':>10} {'error':>9}"
    )
    for row in rows:
        print(
            f"{row['name']:16} {row['ratio']:7.2f} {row['lowest']:7.2f} {row['highest']:7.2f} {row['peak_mb']:8.1f} "
            f"{row['peak_mb'] / rows[0]['peak_mb']:7.2f} {row['cosine']:10.7f} {row['relative_error']:8.1e}"
        )
    if arguments.save:
        versions = {name: importlib.metadata.version(name) for name in ("torchopt", "higher", "betty-ml") if _has(name)}
        write_result(
            f"peers-{arguments.setting}-{arguments.meta_loss}-{'gpu' if torch.cuda.is_available() else 'cpu'}",
            {
                **provenance(arguments.seed),
                "versions": versions,
                "ours_ms": ours_ms,
                "left_out": left_out,
                "rows": rows,
            },
        )


def _has(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
