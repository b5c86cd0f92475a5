"""`bdw select` and `bdw.select`: which images to keep, as a list, a table, copies or links."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from bdw.data import packing_bar
from bdw.data.near_duplicates import near_duplicate_groups
from bdw.data.perceptual_hash import SIDE, grey_thumbnails
from bdw.data.source_and_targets import LabelledProgress
from bdw.data.weights_file import CONTENT_KEY
from bdw.errors import InputError
from bdw.runs.export import write_table
from bdw.scoring.choice import Amount, chosen
from bdw.scoring.clusters import clusters_of
from bdw.scoring.pool import Pool, PoolRequest, open_pool
from bdw.scoring.score_parts import read_scores, with_scores
from bdw.scoring.shards import batches
from bdw.storage.atomic_write import replacing, require_new, write_text

if TYPE_CHECKING:
    import pandas as pd

    from bdw.commands.options import Select

LIST, TABLE = ".txt", ".parquet"


def select(
    scores: str | os.PathLike[str] | pd.DataFrame,
    *,
    count: int | None = None,
    share: float | None = None,
    at_least: float | None = None,
    clusters: int | None = None,
    features: str | os.PathLike[str] | None = None,
    near_duplicates: bool = True,
    pool: str | None = None,
    data_root: str | None = None,
    data_seed: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose images by their scores, as the command `bdw select` does.

        kept = bdw.select(bdw.score("runs/mine", "photos/"), share=0.2).query("kept")

    Args:
        scores: a table with `name` and `mean`, or the path of one: what `bdw.score` returns, or a run's
            instance_weights.parquet.
        count: how many images to keep; one of `count`, `share` and `at_least` is given.
        share: or which share of all.
        at_least: or all with at least this mean weight.
        clusters: take equally many from each of so many clusters of `features`.
        features: a .parquet file that `bdw embed` wrote.
        near_duplicates: keep them; otherwise only the best of images that are nearly the same, which needs `pool`.
        pool: where the images are, named as a run's source.
        data_root: folder under which torchvision's data sets lie.
        data_seed: seed of a pool that is drawn, such as `glyphs`.
        seed: of the clusters.

    Returns:
        a row per image, in the order of `scores`: name, filepath (where the pool is a folder), mean, kept, and where
        near-duplicates were looked for near_duplicate_of, the name of the better image that an image is nearly the same
        as.

    Raises `InputError` for what cannot work.
    """
    if isinstance(scores, str | os.PathLike):
        table = read_scores(Path(scores))
    else:
        table = with_scores(pa.Table.from_pandas(scores), "the table")
    wanted = _Wanted(
        amount=Amount(count=count, share=share, at_least=at_least),
        clusters=clusters,
        features=None if features is None else Path(features),
        near_duplicates=near_duplicates,
        seed=seed,
    )
    opened = None if pool is None else _open(pool, data_root, data_seed)
    found: pd.DataFrame = _selected(table, wanted, opened).to_pandas()
    return found


def select_from_console(command: Select) -> None:
    """Choose, write what was chosen, and say how many there are."""
    out = command.out
    is_folder = out.suffix not in (LIST, TABLE)
    require_new(out)
    if command.link and not is_folder:
        raise InputError(f"link: cannot work with --out {out}, a file; allowed: a new folder")
    if command.selector.selector is not None:
        _select_before_training(command)
        return
    if command.scores is None:
        raise InputError("scores, selector: none given; allowed: one of them")
    wanted = _Wanted(
        amount=Amount(count=command.count, share=command.share, at_least=command.at_least),
        clusters=command.clusters,
        features=command.features,
        near_duplicates=command.near_duplicates,
        seed=command.seed,
    )
    pool = None if command.pool is None else _open(command.pool, command.data_root, command.data_seed)
    _require_files(out, pool)
    with packing_bar() as bar:
        table = _selected(read_scores(command.scores), wanted, pool, bar)
    _write(out, table, pool, link=command.link)
    if "near_duplicate_of" in table.column_names:
        alike = len(table) - table["near_duplicate_of"].null_count
        print(f"note    {alike:,} images are near-duplicates of better ones")
    kept = table["kept"].to_numpy(zero_copy_only=False)
    lowest = table["mean"].to_numpy()[kept].min()
    print(f"chose   {int(kept.sum()):,} of {len(table):,} images, of mean weight {lowest:.4f} or more: {out}")


def _select_before_training(command: Select) -> None:
    # Without scores there is more to import: encoders, clusters.
    from bdw.commands.select_before import select_before_training

    pool = None if command.pool is None else _open(command.pool, command.data_root, command.data_seed)
    _require_files(command.out, pool)
    with packing_bar() as bar:
        table, cost = select_before_training(command, bar)
    for column, paths in ({} if pool is None else pool.pool.columns(table["name"].to_pylist())).items():
        table = table.add_column(1, column, pa.array(paths, pa.string()))
    _write(command.out, table, pool, link=command.link)
    again = f", and {cost.shared_seconds:.1f} s on what later choices use again" if cost.shared_images else ""
    kept = int(table["kept"].to_numpy(zero_copy_only=False).sum())
    print(f"chose   {kept:,} of {len(table):,} images in {cost.seconds:.1f} s{again}: {command.out}")


def _require_files(out: Path, pool: _Images | None) -> None:
    """`InputError` if files are to be copied that the pool does not have."""
    if out.suffix not in (LIST, TABLE) and (pool is None or pool.folder is None):
        raise InputError(
            f"out: {out} would be a folder of images, which needs --pool with a folder of images; allowed: "
            f"{LIST} for a list of names, {TABLE} for a table"
        )


def _write(out: Path, table: pa.Table, pool: _Images | None, *, link: bool) -> None:
    """The list, the table or the folder that `out` asks for."""
    kept = table["kept"].to_numpy(zero_copy_only=False)
    order = np.argsort(-table["mean"].to_numpy(), kind="stable")
    names = table["name"].to_pylist()
    best_first = [names[row] for row in order if kept[row]]
    if out.suffix == LIST:
        write_text(out, "".join(f"{name}\n" for name in best_first))
    elif out.suffix == TABLE:
        write_table(out, table)
    else:
        assert pool is not None
        assert pool.folder is not None
        _write_files(out, pool.folder, best_first, link=link)


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """How to choose."""

    amount: Amount
    clusters: int | None
    features: Path | None
    near_duplicates: bool
    seed: int

    def __post_init__(self) -> None:
        if (self.clusters is None) != (self.features is None):
            given, other = ("features", "clusters") if self.clusters is None else ("clusters", "features")
            raise InputError(f"{given}: cannot work without {other}; allowed: both or neither")


@dataclass(frozen=True)
class _Images:
    """The pool whose images were scored, as thumbnails are made of it."""

    pool: Pool
    folder: Path | None
    """Where its files are, if it is a folder; names are paths below it."""


def _open(spec: str, data_root: str | None, data_seed: int) -> _Images:
    request = PoolRequest(spec=spec, image_size=SIDE, channels=1, data_root=data_root, data_seed=data_seed)
    pool = open_pool(request)
    return _Images(pool, pool.folder)


def _selected(
    table: pa.Table, wanted: _Wanted, images: _Images | None, bar: LabelledProgress | None = None
) -> pa.Table:
    """The scored images with the column `kept`; see `select`."""
    names, scores = _names_and_scores(table)
    columns: dict[str, Any] = {"name": pa.array(names, pa.string())}
    columns |= {} if images is None else images.pool.columns(names)
    groups = None
    if not wanted.near_duplicates:
        if images is None:
            raise InputError("near_duplicates: to leave them out takes --pool, where the images are")
        groups = near_duplicate_groups(_thumbnails(images.pool, names, bar), _labelled(bar))
    clusters = None
    if wanted.clusters is not None and wanted.features is not None:
        clusters = clusters_of(wanted.features, names, wanted.clusters, wanted.seed)
    kept = chosen(scores, wanted.amount, clusters=clusters, groups=groups)
    columns |= {"mean": scores, "kept": kept}
    if groups is not None:
        columns["near_duplicate_of"] = pa.array(_better(names, scores, groups), pa.string())
    own = (table.schema.metadata or {}).get(CONTENT_KEY, b"")
    return pa.table(columns).replace_schema_metadata({CONTENT_KEY: own})


def _names_and_scores(table: pa.Table) -> tuple[list[str], NDArray[np.float64]]:
    names = table["name"].cast(pa.string()).to_pylist()
    try:
        scores = table["mean"].cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise InputError(f"scores: mean holds {table['mean'].type} values; allowed: numbers") from None
    if len(set(names)) != len(names):
        raise InputError("scores: names are not unique; allowed: one row per image")
    if not len(names) or not np.isfinite(scores).all():
        raise InputError("scores: mean weights are missing or not finite; allowed: a number for every image")
    return names, scores


def _thumbnails(pool: Pool, names: list[str], bar: LabelledProgress | None) -> torch.Tensor:
    """uint8 (n, s, s) in the order of the names."""
    rows = {name: row for row, name in enumerate(pool.part.names)}
    absent = [name for name in names if name not in rows]
    if absent:
        raise InputError(
            f"pool: lacks {len(absent):,} image(s) that have scores, such as {absent[0]!r}; allowed: the pool that was "
            "scored"
        )
    skipped: list[dict[str, Any]] = []
    parts: list[torch.Tensor] = []
    done = 0
    for some, images in batches(pool.part, [rows[name] for name in names], skipped):
        parts.append(grey_thumbnails(torch.from_numpy(images)))
        done += len(some)
        if bar is not None:
            bar("reading images", done, len(names))
    if skipped:
        raise InputError(f"pool: {skipped[0]['name']!r} has a score but cannot be read: {skipped[0]['reason']}")
    return torch.cat(parts)


def _better(names: list[str], scores: NDArray[np.float64], groups: NDArray[np.int64]) -> list[str | None]:
    """The best image of the group of each, None for that one itself."""
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    best = order[first]
    return [None if best[group] == row else names[best[group]] for row, group in enumerate(groups)]


def _labelled(bar: LabelledProgress | None) -> Any:
    return None if bar is None else lambda done, total: bar("comparing images", done, total)


def _write_files(out: Path, folder: Path, names: list[str], *, link: bool) -> None:
    """Copies of, or links to, these files below `folder`, under the same names below the new folder `out`."""
    absent = next((name for name in names if not (folder / name).is_file()), None)
    if absent is not None:
        raise InputError(f"pool: {folder} has no file {absent!r}; allowed: the folder that was scored")
    with replacing(out) as temporary:
        temporary.mkdir()
        for name in names:
            place = temporary / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if link:
                place.symlink_to(folder / name)
            else:
                shutil.copy2(folder / name, place)
