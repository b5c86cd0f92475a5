"""Two real workers, each visiting its part of every batch, end where one ends that visits all of it.

Whatever the config field `weighter` names; Beta draws are replaced by their means, since workers draw from streams of
their own.
"""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from bdw.config import WeighterConfig
from bdw.data import Problem
from bdw.data.batches import local_part
from bdw.parallel import collectives
from bdw.weighting import registry
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.weighters.protocol import Learns, Weighter, WeightSample

N, K = 30, 7

Results = dict[str, dict[str, Tensor]]


def _learnt(configs: dict[str, WeighterConfig], problem: Problem, toolkit: Toolkit) -> Results:
    """What every config's weights are after two epochs, with an exchange in the middle of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributions.Beta, "rsample", lambda self: self.mean)
        return {name: _state(registry.build(config, problem, toolkit)) for name, config in configs.items()}


def _state(weighter: Weighter) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for step, batch in enumerate(torch.randperm(N, generator=generator).split(K)):
            gradient = torch.randn(len(batch), generator=generator, dtype=torch.float64)
            rows, told = (local_part(part, collectives.rank(), collectives.size()) for part in (batch, gradient))
            if weighter.learns is Learns.BEFORE_UPDATE:
                weighter.update(WeightSample(rows, torch.zeros(len(rows), dtype=torch.float64)), told)
            sample = weighter.sample(rows, torch.Generator())
            if weighter.learns is Learns.AFTER_UPDATE:
                weighter.update(sample, told)
            if step == 2:
                weighter.share()
        weighter.end_epoch()
    table = weighter.table()
    found = {"mean": torch.from_numpy(table.mean), "useless": torch.from_numpy(weighter.useless())}
    return found | weighter.state_dict()


def _worker(rank: int, port: int, folder: str, *arguments: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        torch.save(_learnt(*arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_workers_end_where_one_does(
    pool: Problem, toolkit: Toolkit, make_config: Callable[..., WeighterConfig], tmp_path: Path
) -> None:
    configs = {
        f"{name}, {option}": make_config(weighter=name, weight_lr=2.0, **fields)
        for name in registry.available()
        for option, fields in {"plain": {}, "normalised": {"normalise_weights": True}}.items()
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.set_forkserver_preload(["bdw.training.trainer", "torch.distributed"])
    arguments = (port, str(tmp_path), configs, pool, toolkit)
    mp.start_processes(_worker, arguments, nprocs=2, start_method="forkserver")
    expected = _learnt(configs, pool, toolkit)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, values in expected.items():
            for key, value in values.items():
                torch.testing.assert_close(found[name][key], value, equal_nan=True, msg=f"{name}: {key} of {rank}")
    for name, config in configs.items():
        if registry.learns(config) is not Learns.NEVER:
            assert expected[name]["mean"].unique().numel() >= 3, "nothing was learnt"
