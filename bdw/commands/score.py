"""`bdw score` and `bdw.score`: scores for images that a run never saw."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bdw.config.checks import require_at_least
from bdw.data import packing_bar
from bdw.data.source_and_targets import LabelledProgress
from bdw.errors import InputError
from bdw.parallel import device as devices
from bdw.runs.directory import RunDirectory
from bdw.scoring.held_out import HeldOut
from bdw.scoring.pool import Pool, PoolRequest, as_of_run, open_pool, skipped_lines
from bdw.scoring.score_parts import ScoreParts, read_scores
from bdw.scoring.scorer import ScorerFiles, held_out_of
from bdw.scoring.shards import SHARD, ScoredShard, score_shard, shards
from bdw.storage.atomic_write import require_new

if TYPE_CHECKING:
    import pandas as pd

    from bdw.commands.options import Score


@dataclass(frozen=True)
class Scored:
    """What came of it."""

    images: int
    skipped: tuple[dict[str, Any], ...]
    seconds: float
    resumed: int
    """Shards that were there already."""


def score(
    run: str | os.PathLike[str],
    pool: str,
    out: str | os.PathLike[str] | None = None,
    *,
    target: str | None = None,
    data_root: str | None = None,
    download: bool = False,
    data_seed: int | None = None,
    device: str = "auto",
    num_workers: int | None = None,
) -> pd.DataFrame:
    """Score images that a run never saw, as the command `bdw score` does.

        scores = bdw.score("runs/mine", "new_photos/")

    Args:
        run: directory of a finished run that learnt weights, or that valued its source for further targets.
        pool: what to score, named as a run's source.
        out: new Parquet file for the scores; None keeps none.
        target: one of the run's `targets` or `value_for`, by usefulness for which images are scored; None for the
            weights that the run learnt.
        data_root: as for a run; None for the run's own.
        download: let torchvision download a data set that is not under `data_root`.
        data_seed: seed of a pool that is drawn, such as `glyphs`; None for the run's own.
        device: auto, cpu or cuda.
        num_workers: workers of one CPU each that Ray starts; None for this process alone.

    Returns:
        one row per image: name, a, b, mean (mean weight), low and high (its 95 % interval), rank (1: most useful), and
        filepath where the pool is a folder of images.

    Raises `InputError` for what cannot work.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.parquet" if out is None else Path(out)
        run_directory = RunDirectory(Path(run))
        files = ScorerFiles.of(run_directory, target)
        request = as_of_run(run_directory, pool, data_root=data_root, download=download, data_seed=data_seed)
        _score(files, request, open_pool(request), path, device=device, num_workers=num_workers)
        table: pd.DataFrame = read_scores(path).to_pandas()
        return table


def score_from_console(command: Score) -> None:
    """Score, show how far it is, and say at the end where the scores lie."""
    run = RunDirectory(command.run)
    require_new(command.out)
    files = ScorerFiles.of(run, command.target)
    request = as_of_run(
        run, command.pool, data_root=command.data_root, download=command.download, data_seed=command.data_seed
    )
    pool = open_pool(request)
    scorer = run.scorer if command.target is None else run.scorer_for(command.target)
    print(f"scorer  {_how_good(held_out_of(scorer))}")
    print(f"pool    {command.pool}: {len(pool.part):,} images")
    if pool.remark:
        print(f"note    {pool.remark}", flush=True)
    try:
        with packing_bar() as bar:
            found = _score(
                files, request, pool, command.out, device=command.device, num_workers=command.num_workers, progress=bar
            )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on after the last whole part", flush=True)
        raise
    if found.resumed:
        print(f"note    {found.resumed:,} of {len(shards(len(pool.part))):,} parts were there already")
    for line in skipped_lines(pool.part, found.skipped):
        print(line)
    rate = "" if found.resumed else f" ({found.images / found.seconds:,.0f} images/s)"
    print(f"scored  {found.images:,} images in {found.seconds:.1f} s{rate}: {command.out}")


def _how_good(found: HeldOut) -> str:
    """On images of the run's own pool."""
    return (
        f"correlation {found.correlation:.2f} with what its run learnt of {found.images:,} held-out images, "
        f"{100 * found.coverage:.0f} % of them in their 95 % interval"
    )


def _score(
    files: ScorerFiles,
    request: PoolRequest,
    pool: Pool,
    out: Path,
    *,
    device: str,
    num_workers: int | None,
    progress: LabelledProgress | None = None,
) -> Scored:
    require_at_least("num_workers", num_workers, 1, "at least 1, or none")
    if out.suffix.lower() != ".parquet":
        raise InputError(f"out: {out} ends in {out.suffix!r}; allowed: .parquet")
    chosen = devices.choose(device)
    count = len(pool.part)
    plan = {"scorer": files.key(), "pool": pool.key, "images": count, "shard": SHARD}
    parts, rows = ScoreParts(out, plan), shards(count)
    missing = parts.missing(len(rows))
    done = count - sum(len(rows[number]) for number in missing)
    started = time.monotonic()

    def advance(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress("scoring, images", done, count)

    wanted = [(number, rows[number]) for number in missing]
    if num_workers is None:
        scorer = files.load(chosen)
        scored: Iterator[tuple[int, ScoredShard]] = (
            (number, score_shard(pool.part, own, scorer, advance)) for number, own in wanted
        )
    else:
        # Ray takes seconds to import.
        from bdw.ray.score import score_on_workers

        scored = _counted(score_on_workers(files, request, pool, wanted, num_workers), rows, advance)
    for number, shard in scored:
        parts.write(number, shard)
    table, skipped = parts.finish(len(rows), pool)
    return Scored(len(table), tuple(skipped), time.monotonic() - started, len(rows) - len(missing))


def _counted(
    scored: Iterator[tuple[int, ScoredShard]], rows: Sequence[range], advance: Callable[[int], None]
) -> Iterator[tuple[int, ScoredShard]]:
    for number, shard in scored:
        advance(len(rows[number]))
        yield number, shard
