"""Weights from files: what a run wrote is read back, and what cannot belong to this source is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bdw.config import WeighterConfig
from bdw.data import PackedDataset
from bdw.errors import InputError
from bdw.runs.export import weights_table, write_table
from bdw.weighting import registry as weighters
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.weighters.protocol import Weighter, WeightTable

N = 30
WEIGHTS = np.linspace(0, 2, N)

MakeWeighter = Callable[..., Weighter]


def _csv(path: Path, head: str, rows: list[str]) -> str:
    path.write_text("\n".join([head, *rows]) + "\n")
    return str(path)


def _run_table(source: PackedDataset) -> pa.Table:
    nothing = np.full(N, np.nan)
    return weights_table(source, WeightTable(nothing, nothing, WEIGHTS, np.zeros(N)), KeepMask(N, 1))


def test_what_a_run_wrote_is_read_back(tmp_path: Path, source: PackedDataset, make_weighter: MakeWeighter) -> None:
    write_table(tmp_path / "instance_weights.parquet", _run_table(source))
    found = make_weighter(weighter="given", weights_file=str(tmp_path / "instance_weights.parquet"))
    np.testing.assert_array_equal(found.table().mean, WEIGHTS)
    assert np.flatnonzero(found.useless()).tolist() == [0]


def test_what_a_run_did_not_keep_is_left_out(
    tmp_path: Path, source: PackedDataset, make_weighter: MakeWeighter
) -> None:
    mask = KeepMask(N, 1)
    mask.prune(np.arange(N) < N // 2, WEIGHTS, epoch=1)
    nothing = np.full(N, np.nan)
    table = weights_table(source, WeightTable(nothing, nothing, WEIGHTS + 1, np.zeros(N)), mask)
    write_table(tmp_path / "w.parquet", table)
    found = make_weighter(weighter="given", weights_file=str(tmp_path / "w.parquet"))
    np.testing.assert_array_equal(found.table().mean, np.where(np.arange(N) < N // 2, 0, WEIGHTS + 1))
    assert np.flatnonzero(found.useless()).tolist() == list(range(N // 2))
    path = _csv(tmp_path / "w.csv", "index,weight,kept", [f"{i},1,{i % 2 == 0}" for i in range(N)])
    found = make_weighter(weighter="given", weights_file=path)
    np.testing.assert_array_equal(found.table().mean, [1, 0] * (N // 2))


def test_a_kept_that_is_no_truth_value_is_refused(tmp_path: Path, make_weighter: MakeWeighter) -> None:
    path = _csv(tmp_path / "w.csv", "index,weight,kept", [f"{i},1,perhaps" for i in range(N)])
    with pytest.raises(InputError, match="kept holds string values; allowed: bool"):
        make_weighter(weighter="given", weights_file=path)


@pytest.mark.parametrize("by", ["index", "name"])
@pytest.mark.parametrize("column", ["weight", "mean"])
def test_csv_in_any_order(tmp_path: Path, make_weighter: MakeWeighter, by: str, column: str) -> None:
    order = np.random.default_rng(0).permutation(N)
    keys = order if by == "index" else [f"image-{i:02d}" for i in order]
    rows = [f"x,{weight!r},{key}" for weight, key in zip(WEIGHTS[order].tolist(), keys, strict=True)]
    path = _csv(tmp_path / "w.csv", f"note,{column},{by}", rows)
    np.testing.assert_array_equal(make_weighter(weighter="given", weights_file=path).table().mean, WEIGHTS)


def test_names_of_digits_stay_names(tmp_path: Path, make_weighter: MakeWeighter) -> None:
    path = _csv(tmp_path / "w.csv", "name,weight", ["007,1"])
    with pytest.raises(InputError, match="names '007', which is not in the source"):
        make_weighter(weighter="given", weights_file=path)


GOOD = [f"{i},1" for i in range(N)]


@pytest.mark.parametrize(
    ("head", "rows", "message"),
    [
        ("index,weight", [*GOOD[:4], "4,-0.5", *GOOD[5:]], r"weight is -0\.5 in row 5 \(1 such row"),
        ("index,weight", [*GOOD[:4], "4,nan", *GOOD[5:]], r"weight is empty or NaN in row 5"),
        ("index,weight", [*GOOD[:4], "4,inf", *GOOD[5:]], r"weight is inf in row 5"),
        ("index,weight", [*GOOD[:4], "4,", *GOOD[5:]], r"weight is empty or NaN in row 5"),
        ("index,weight", [*GOOD[:4], "4,high", *GOOD[5:]], r"weight holds string values; allowed: double"),
        ("index,weight", [*GOOD[:4], "4.5,1", *GOOD[5:]], r"index holds double values; allowed: int64"),
        ("index,weight", [f"{i},0" for i in range(N)], r"all weights are 0"),
        ("index,weight", GOOD[:-2], r"names 2 of the source's 30 images not at all, such as index 28"),
        ("index,weight", [*GOOD, "3,1"], r"names 1 of the source's 30 images more than once, such as index 3"),
        ("index,weight", [*GOOD, "30,1"], r"index 30 is not in the source; allowed: 0 to 29"),
        ("index,weight", [*GOOD, "-1,1"], r"index -1 is not in the source"),
        ("index,score", GOOD, r"has the columns index, score; allowed: index or name, and weight or mean"),
        ("picture,weight", GOOD, r"has the columns picture, weight; allowed"),
        ("name,weight", [f"image-{i:02d},1" for i in range(1, N)], r"not at all, such as 'image-00'"),
        ("index,name,weight", [f"{i},photo-{i},1" for i in range(N)], r"index 0 is named 'photo-0', .* is 'image-00'"),
        ("index,weight", ["0,1,2,3"], r"cannot be read"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(
    tmp_path: Path, make_weighter: MakeWeighter, head: str, rows: list[str], message: str
) -> None:
    path = _csv(tmp_path / "w.csv", head, rows)
    with pytest.raises(InputError, match=rf"weights_file: .*w\.csv.*{message}") as refusal:
        make_weighter(weighter="given", weights_file=path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_numbers_in_parquet_are_refused_too(
    tmp_path: Path, source: PackedDataset, make_weighter: MakeWeighter, bad: float
) -> None:
    """There NaN is a number like any other, not an empty cell."""
    table = _run_table(source)
    means = WEIGHTS.copy()
    means[6:8] = bad
    table = table.set_column(table.column_names.index("mean"), "mean", pa.array(means))
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=rf"mean is {bad} in row 7 \(2 such row\(s\)\); allowed: finite numbers, 0 or"):
        make_weighter(weighter="given", weights_file=str(tmp_path / "bad.parquet"))


def test_weights_of_another_data_set_are_refused(
    tmp_path: Path, source: PackedDataset, make_weighter: MakeWeighter
) -> None:
    foreign = _run_table(source).replace_schema_metadata({"source_content_key": "feedbeef"})
    pq.write_table(foreign, tmp_path / "foreign.parquet")
    with pytest.raises(
        InputError, match=rf"another data set \(content key feedbeef, the source's is {source.content_key}"
    ):
        make_weighter(weighter="given", weights_file=str(tmp_path / "foreign.parquet"))


def test_a_runs_config_beside_a_file_says_whose_it_is(
    tmp_path: Path, source: PackedDataset, make_weighter: MakeWeighter
) -> None:
    path = _csv(tmp_path / "w.csv", "index,weight", GOOD)
    config = tmp_path / "config.json"
    for unrelated in ("no JSON", "[1]", '{"source": {}}', f'{{"source": {{"content_key": "{source.content_key}"}}}}'):
        config.write_text(unrelated)
        assert make_weighter(weighter="given", weights_file=path).table().mean.sum() == N
    config.write_text('{"source": {"content_key": "feedbeef"}}')
    with pytest.raises(InputError, match="another data set"):
        make_weighter(weighter="given", weights_file=path)


@pytest.mark.parametrize(
    ("weights_file", "message"),
    [
        (None, "weights_file: none cannot work with weighter 'given'"),
        ("absent.csv", "absent.csv cannot be read: there is no such file"),
        ("absent.parquet", "absent.parquet cannot be read: there is no such file"),
        ("weights.xlsx", r"ends in '\.xlsx'; allowed: \.parquet, \.csv"),
    ],
)
def test_without_a_readable_file_nothing_begins(weights_file: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        weighters.check(WeighterConfig(weighter="given", weights_file=weights_file))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"w\.parquet cannot be read") as refusal:
        weighters.check(WeighterConfig(weighter="given", weights_file=str(tmp_path / "w.parquet")))
    assert "\n" not in str(refusal.value)
