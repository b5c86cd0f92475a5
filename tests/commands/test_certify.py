"""`bdw certify`: what it trains, that it goes on, what it leaves, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bdw import cli
from bdw.commands import certify as command
from bdw.parallel.stop_requests import Notice
from bdw.runs.directory import RunDirectory
from bdw.scoring.certificate import Arm, Certificate
from tests.commands.conftest import TINY, fit

PRUNES = ["--preset", "digits", "--max-source", "64", "--epochs", "2", "--weighter", "counts", "--weight-lr", "3"]
PRUNES += ["--cdf-threshold", "0.5", "--density-threshold", "0.5", "--min-kept", "20", "--batch-size", "16"]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certify") / "run"
    assert fit(path, *PRUNES) == 0
    return path


@pytest.fixture(scope="module")
def certified(pruned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that the run itself stays without a certificate."""
    path = tmp_path_factory.mktemp("certified") / "run"
    shutil.copytree(pruned, path)
    assert certify(path) == 0
    return path


def certify(run: Path, *flags: str) -> int:
    return cli.main(["certify", "--run", str(run), *flags])


def weights_of(run: Path) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = pq.read_table(run / "instance_weights.parquet").to_pydict()
    return table


def test_arms_are_runs_that_differ_in_what_they_train_on(certified: Path) -> None:
    own = weights_of(certified)
    size = sum(own["kept"])
    assert 20 <= size < 64
    trained = {arm: [weights_of(certified / "certificate" / f"{arm}-{seed}") for seed in SEEDS] for arm in Arm}
    for arm, tables in trained.items():
        expected = 64 if arm in (Arm.PLAIN, Arm.WEIGHTED) else size
        assert [sum(table["kept"]) for table in tables] == [expected] * 3, arm
    assert all(table["kept"] == own["kept"] for table in trained[Arm.KEPT])
    assert all(table["mean"] == own["mean"] for table in trained[Arm.WEIGHTED])
    assert len({tuple(table["kept"]) for table in trained[Arm.RANDOM]}) == 3, "drawn anew for every seed"
    seen = int(RunDirectory(certified).read_metrics()[-1]["instances_seen"])
    for arm in Arm:
        for seed in SEEDS:
            there = RunDirectory(certified / "certificate" / f"{arm}-{seed}")
            trained_on = int(there.read_metrics()[-1]["instances_seen"])
            assert seen <= trained_on < seen + 16, "the same budget, but for the rest of a batch"
            assert not there.checkpoints.exists()


def test_the_nearest_are_what_target_images_retrieve_by_the_runs_encoder(certified: Path) -> None:
    """Against the lists of every training image, one by one: the union of their heads, and some of the next row."""
    import torch

    from bdw import load_encoder
    from bdw.config import RunConfig
    from bdw.data import load

    config = RunConfig.from_earlier(json.loads((certified / "config.json").read_text())["config"])
    problem = load(config.data, certified)
    encoder, transform = load_encoder(certified / "encoder.safetensors")

    def directions(images: Any) -> Any:
        with torch.inference_mode():
            features = encoder(transform(torch.from_numpy(np.array(images)))).double().numpy()
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    lists = np.argsort(-directions(problem.target.train.images) @ directions(problem.source.images).T, axis=1)
    kept = set(np.flatnonzero(weights_of(certified / "certificate" / "nearest-0")["kept"]).tolist())
    length = next(end for end in range(1, lists.shape[1] + 1) if len(np.unique(lists[:, :end])) >= len(kept))
    assert set(np.unique(lists[:, : length - 1]).tolist()) <= kept <= set(np.unique(lists[:, :length]).tolist())


def test_the_certificate_holds_the_runs_scores(certified: Path) -> None:
    found = Certificate.of_values(json.loads((certified / "certificate.json").read_text()))
    assert found.seeds == SEEDS
    assert (found.measure, found.images, found.kept) == ("accuracy", 64, sum(weights_of(certified)["kept"]))
    for arm in Arm:
        for seed, score in zip(SEEDS, found.scores[arm], strict=True):
            rows = pq.read_table(certified / "certificate" / f"{arm}-{seed}" / "results.parquet").to_pylist()
            assert [row["value"] for row in rows if row["metric"] == "accuracy"] == [score]
            assert {row["seed"] for row in rows} == {seed}
    page = (certified / "report.html").read_text(encoding="utf-8")
    assert "What the kept set is worth" in page
    assert f"Advice: {found.advice.value}: " in page
    assert "as many nearest to the target" in page


def test_a_second_command_trains_what_is_missing_alone(
    certified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(certified, run)
    before = (run / "certificate.json").read_text()
    # The arms' configs name their files by where the run was; nothing is trained, so nothing is compared.
    real, trained = command.train, []

    def counted(config: Any, *rest: Any, **named: Any) -> None:
        trained.append(Path(config.output.run_dir).name)
        real(config, *rest, **named)

    monkeypatch.setattr(command, "train", counted)
    assert certify(run) == 0
    assert trained == []
    capsys.readouterr()
    assert certify(run, "--seeds", "4") == 0
    assert trained == [f"{arm}-3" for arm in Arm]
    after = Certificate.of_values(json.loads((run / "certificate.json").read_text()))
    first = Certificate.of_values(json.loads(before))
    assert {arm: scores[:3] for arm, scores in after.scores.items()} == dict(first.scores)
    said = capsys.readouterr().out
    assert re.search(
        r"^kept     seed 3  test accuracy +\S+ % +\d+:\d\d  \(16 of 20, about \d+:\d\d left\)$", said, re.M
    )
    assert re.search(r"^weighted seed 3 .*\(20 of 20\)$", said, re.M)
    assert re.search(rf"^advice  {after.advice.value}: ", said, re.M)


def test_what_was_interrupted_goes_on_bit_for_bit(
    pruned: Path, certified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM comes in the middle of the second arm; all arms have the scores of a command that nobody stopped."""
    run = tmp_path / "run"
    shutil.copytree(pruned, run)
    real, looks = command.train, []

    def warned() -> Notice | None:
        looks.append(1)
        return Notice("asked to end", stop=True) if len(looks) == 3 else None

    def second_is_stopped(config: Any, *rest: Any, notice_board: Any, **named: Any) -> None:
        is_second = config.output.run_dir.endswith("random-0")
        real(config, *rest, notice_board=warned if is_second else notice_board, **named)

    with monkeypatch.context() as patch:
        patch.setattr(command, "train", second_is_stopped)
        assert certify(run) == 143
    assert not (run / "certificate.json").exists()
    assert (run / "certificate" / "kept-0" / "results.parquet").is_file()
    assert not (run / "certificate" / "random-0" / "results.parquet").exists()
    assert list((run / "certificate" / "random-0" / "checkpoints").iterdir())
    assert certify(run) == 0
    scores = [json.loads((path / "certificate.json").read_text())["scores"] for path in (run, certified)]
    assert scores[0] == scores[1]


def test_runs_that_are_trained_elsewhere_are_counted_whole() -> None:
    """Two of five were there; after 20 seconds two more are, which leaves one of 10 seconds."""
    times = iter([100.0, 110.0, 120.0, 120.0])
    pace = command.Pace(5, lambda *_: None, clock=lambda: next(times))
    pace.has_ended(was_trained=True)
    pace.has_ended(was_trained=True)
    pace.count_whole_runs()
    pace.has_ended(was_trained=False)
    assert pace.seconds_left == 20
    pace.has_ended(was_trained=False)
    assert pace.seconds_left == 10
    assert str(pace) == "(4 of 5, about 0:10 left)"


def test_a_longer_run_has_no_certificate_and_other_arms(
    certified: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(certified, run)
    assert fit(run, *PRUNES, "--epochs", "3", "--resume") == 0
    assert not (run / "certificate.json").exists()
    assert "What the kept set is worth" not in (run / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert certify(run) == 2
    assert "certificate holds runs for other weights or settings than" in capsys.readouterr().err


def test_what_cannot_work_is_one_line(
    run_dir: Path, pruned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(run: Path, *flags: str) -> str:
        assert certify(run, *flags) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        return said

    capsys.readouterr()
    assert "seeds: 2 cannot work; allowed: at least 3" in refused(pruned, "--seeds", "2")
    assert "num_workers: 0 cannot work; allowed: at least 1" in refused(pruned, "--num-workers", "0")
    assert "does not exist; allowed: the directory of a run" in refused(tmp_path / "none")
    plain = tmp_path / "plain"
    assert fit(plain, *TINY, "--weighter", "uniform") == 0
    capsys.readouterr()
    assert "never learnt weights (weighter 'uniform'), so it chose no images" in refused(plain)
    everything = tmp_path / "everything"
    assert fit(everything, *TINY, "--no-prune") == 0
    capsys.readouterr()
    assert "kept all of its 64 images, so there is no choice to certify" in refused(everything)
    run = tmp_path / "run"
    shutil.copytree(pruned, run)
    (run / "results.parquet").unlink()
    assert "has not finished; allowed: a finished run" in refused(run)
    assert not (run / "certificate").exists(), "nothing was begun"
    shutil.copy(pruned / "results.parquet", run)
    described = json.loads((run / "config.json").read_text())
    described["config"]["max_source"] = 63
    (run / "config.json").write_text(json.dumps(described))
    assert "no longer holds the 64 images" in refused(run)
    assert not list((run / "certificate").glob("*-*")), "nothing was trained"
