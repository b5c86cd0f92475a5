"""Small runs of all methods on photographs and rubbish."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdw.errors import InputError
from benchmarks import planted_runs, rubbish_shares
from benchmarks.rubbish_shares import METHODS, NEAREST, ORACLE, PLAIN, RANDOM, RECOMMENDED


def _arguments(shared_data: Path, folder: Path, **fields: object) -> rubbish_shares.Arguments:
    settings = {
        "shares": (0.5,), "targets": ("dtd",), "seeds": (1,), "images": 256, "passes": 2, "encoder": "small_cnn",
        **fields,
    }  # fmt: skip
    return rubbish_shares.Arguments(data_root=str(shared_data), folder=folder, **settings)  # type: ignore[arg-type]


def test_methods_share_a_budget_and_a_size_and_rows_are_kept(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row["method"]: row for row in rubbish_shares.main(_arguments(shared_data, tmp_path))}
    assert tuple(rows) == METHODS
    assert all(512 <= row["instances_seen"] < 512 + 64 for row in rows.values())
    assert rows[ORACLE]["photographs_kept"] == 1
    assert rows[ORACLE]["rubbish_kept"] == 0
    kept = rows[RECOMMENDED]["kept_fraction"]
    for method in (RANDOM, NEAREST):
        assert rows[method]["kept_fraction"] == pytest.approx(kept, abs=1 / 256)
    # What neighbours cost counts: the encoder of their embeddings, the embeddings and the search.
    assert rows[NEAREST]["seconds_before"] > rows[NEAREST]["features_seconds"] > 0
    with monkeypatch.context() as none_again:
        none_again.setattr(planted_runs, "measured", None)
        assert {row["method"]: row for row in rubbish_shares.main(_arguments(shared_data, tmp_path))} == rows
    assert f"gain over {PLAIN}" in capsys.readouterr().out


def test_without_rubbish_there_is_no_oracle(tmp_path: Path, shared_data: Path) -> None:
    arguments = _arguments(shared_data, tmp_path, shares=(0.0,), methods=(PLAIN, ORACLE), images=128, passes=1)
    assert [row["method"] for row in rubbish_shares.main(arguments)] == [PLAIN]


def test_intervals_are_over_targets_and_seeds() -> None:
    rows = [
        {
            "method": method, "domain": target, "seed": seed, "value": 0.4 + gain, "wall_seconds": 10.0,
            "instances_seen": 100, "kept_fraction": 1.0,
            "curve": [[50, 5.0, 0.3 + gain, 1.0, 0.5, 0.5], [100, 10.0, 0.4 + gain, 1.0, 0.5, 1.0]],
        }
        for target in ("cifar10", "dtd")
        for seed in (1, 2)
        for method, gain in ((PLAIN, 0.0), (RECOMMENDED, 0.02 + 0.01 * seed))
    ]  # fmt: skip
    # Gains of 3 and 4 points on both targets: their mean is 3.5 and its interval t(3) * sd / sqrt(4) = 3.182 * 0.289.
    assert r"+3.5 \[+2.6, +4.4\]" in rubbish_shares.tables(rows)


def test_an_unknown_method(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(InputError, match="methods: 'plane training' is not known"):
        rubbish_shares.main(_arguments(shared_data, tmp_path, methods=("plane training",)))
