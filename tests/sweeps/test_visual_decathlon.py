"""Table 2's entry as a user runs it, on small files in the layouts of the real ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bdw.errors import InputError
from sweeps.runner import decathlons, one_run
from sweeps.runner.comparison import Cell, cells
from sweeps.runner.episode_designs import Design
from sweeps.runner.methods import chosen
from sweeps.visual_decathlon import METHODS, Options, main, settle


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """Tiny ImageNet's file with 80 pictures, and two targets with 3 classes of 9 + 4; dtd's smallest has 6 + 4."""
    root = tmp_path / "mini"
    root.mkdir()
    write_set(root / "imagenet-mini-train.npz", 80, seed=0)
    for seed, name in enumerate(("cifar10", "dtd"), start=1):
        write_set(root / f"{name}-train.npz", 27 - 3 * seed, seed=seed)
        write_set(root / f"{name}-test.npz", 12, seed=seed + 10)
    return root


def write_set(file: Path, count: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(count) % 3, classes=["a", "b", "c"])


def write_challenge(root: Path, domains: dict[str, tuple[int, int]]) -> None:
    """decathlon-1.0 with (train, val) images of 3 classes in every domain."""
    base = root / "decathlon-1.0"
    (base / "annotations").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for domain, counts in domains.items():
        for split, count in zip(("train", "val"), counts, strict=True):
            images, annotations = [], []
            for i in range(count):
                name = f"data/{domain}/{split}/{i % 3 + 1:04d}/{i + 1:06d}.jpg"
                (base / name).parent.mkdir(parents=True, exist_ok=True)
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 255, (18, 24, 3), dtype=np.uint8)).save(buffer, "jpeg")
                (base / name).write_bytes(buffer.getvalue())
                images.append({"id": i, "file_name": name})
                annotations.append({"id": i, "image_id": i, "category_id": i % 3})
            kinds = [{"id": c, "name": "abc"[c]} for c in range(3)]
            contents = {"images": images, "annotations": annotations, "categories": kinds}
            (base / "annotations" / f"{domain}_{split}.json").write_text(json.dumps(contents))


def planned(options: Options) -> dict[str, Cell]:
    """The cells of the first method, by domain."""
    found = settle(options)
    methods = chosen(options.methods, METHODS)
    fields = found.choice.domain_fields
    wanted = cells(methods, found.base, found.rooms, found.options.seeds, found.paths, domain_fields=fields)
    return {cell.domain: cell for cell in wanted if cell.method == options.methods[0]}


def test_smoke_of_the_mini_decathlon(tmp_path: Path, mini: Path, run_entry: Callable[..., str]) -> None:
    arguments = ["--data", str(mini), "--smoke", "--storage-path", str(tmp_path)]
    arguments += ["--name", "small", "--targets", "cifar10", "dtd", "--fine-tuning-epochs", "1"]
    said = run_entry(main, arguments)
    sweep = tmp_path / "small"
    assert said.splitlines()[-1] == f"report: {sweep / 'report.html'}"
    results = pd.read_parquet(sweep / "results.parquet")
    for metric in ("accuracy", "fine_tuned_accuracy"):
        own = results[results["metric"] == metric]
        assert set(zip(own["method"], own["domain"], strict=True)) == {
            (m, d) for m in METHODS for d in ("cifar10", "dtd")
        }
    table = (sweep / "table_2.md").read_text()
    assert "**Logistic regression**" in table
    assert "**Fine-tuned**" in table
    assert "| target | RotNet | NN-Weighter | L2RW | BDW | DW |" in table
    assert "dtd 3-way 3-shot 3-query, the largest that fits instead of 10-way 5-shot 5-query" in table
    for measured in ("", "_fine_tuned"):
        # Methods may well tie throughout after a single step; then the statistics say so instead of a diagram.
        drawn = (sweep / f"critical_difference{measured}.png").is_file()
        assert drawn or f"left out: critical_difference{measured}.png" in said
    assert "Table 2 on 2 target domains (mini)" in (sweep / "report.html").read_text()

    assert "  epoch " not in run_entry(main, arguments), "a finished sweep runs nothing again"


def test_one_run_for_all_targets_beside_one_run_a_target(
    tmp_path: Path, mini: Path, run_entry: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its stages, the sweep goes on with the second one."""
    arguments = ["--data", str(mini), "--smoke", "--storage-path", str(tmp_path), "--name", "one", "--one-run"]
    arguments += ["--targets", "cifar10", "dtd", "--methods", "RotNet"]

    def killed(*_: object, **__: object) -> list[Cell]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(one_run, "kept_cells", killed)
        with pytest.raises(KeyboardInterrupt):
            run_entry(main, arguments)
    first = set((tmp_path / "one" / "runs").iterdir())
    assert len(first) == 5, "a valuation and two methods on two targets"
    before = {run: (run / "metrics.csv").stat().st_mtime_ns for run in first}
    said = run_entry(main, arguments)
    assert {run: (run / "metrics.csv").stat().st_mtime_ns for run in first} == before
    trials = pd.read_csv(tmp_path / "one" / "trials.csv")
    assert set(trials["state"]) == {"complete"}
    seen = trials.groupby("method")["instances_seen"].unique().map(list).to_dict()
    # Two passes over 64 images; half of the valuation's 128 are taken off each of the two budgets.
    assert seen.pop("kept by one run") == [64]
    assert seen == {"RotNet": [128], "one run a target": [128], "valuation for all targets": [128]}
    results = pd.read_parquet(tmp_path / "one" / "results.parquet")
    methods = ("RotNet", "one run a target", "kept by one run")
    assert set(zip(results["method"], results["domain"], strict=True)) == {
        (method, domain) for method in methods for domain in ("cifar10", "dtd")
    }
    cost = (
        "one run a target, 2 x 128 = 256 images; kept by one run, 128 images of one valuation and 2 x 64, together 256"
    )
    table = (tmp_path / "one" / "table_2.md").read_text()
    for text in (said.replace("\n", " "), table):
        assert cost in text
    assert "| target | RotNet | one run a target | kept by one run |" in table
    drawn = (tmp_path / "one" / "critical_difference.png").is_file()
    assert drawn or "left out: critical_difference.png" in said


def test_the_challenge_in_its_own_layout_has_the_papers_designs_where_they_fit(tmp_path: Path) -> None:
    write_challenge(tmp_path, {"imagenet12": (66, 0), "dtd": (54, 6), "daimlerpedcls": (390, 6)})
    options = Options(
        data_root=str(tmp_path),
        targets=("decathlon-dtd", "decathlon-daimlerpedcls"),
        smoke=True,
        storage_path=str(tmp_path / "sweeps"),
    )
    found = planned(options)
    assert Design.of(found["decathlon-dtd"].config) == Design(3, 5, 5), "20 classes wanted, 3 there"
    assert Design.of(found["decathlon-daimlerpedcls"].config) == Design(2, 50, 50)
    config = found["decathlon-dtd"].config
    assert (config.encoder.encoder, config.evaluation.layer) == ("resnet34", "layer2")
    assert config.data.source == "decathlon-imagenet12"


def test_large_sets_lend_the_mini_decathlon_a_part_of_their_training_images() -> None:
    for name in ("mnist", "fashion-mnist"):
        assert 60_000 * decathlons.MINI.domain_fields[name]["target_fraction"] == pytest.approx(5_000)
    for choice in (decathlons.MINI, decathlons.CHALLENGE):
        assert len(set(choice.targets)) == 10
        assert set(choice.domain_fields) <= set(choice.targets)


@pytest.mark.long
def test_the_real_files_have_room_for_the_mini_decathlons_designs(tmp_path: Path, shared_data: Path) -> None:
    """On the two targets whose episodes are the dearest to fill."""
    options = Options(
        data=str(shared_data), targets=("omniglot", "vgg-flowers"), max_source=64, storage_path=str(tmp_path)
    )
    found = planned(options)
    assert Design.of(found["omniglot"].config) == Design(25, 2, 2)
    assert Design.of(found["vgg-flowers"].config) == Design(10, 5, 5)


def test_a_class_without_room_for_an_episode_is_refused_before_anything_is_packed(tmp_path: Path) -> None:
    write_challenge(tmp_path, {"imagenet12": (66, 0), "dtd": (54, 6), "aircraft": (6, 6)})
    options = Options(
        data_root=str(tmp_path),
        targets=("decathlon-dtd", "decathlon-aircraft"),
        smoke=True,
        storage_path=str(tmp_path / "sweeps"),
    )
    with pytest.raises(InputError, match="a class of 'decathlon-aircraft' has 1 training image; allowed: at least 2"):
        settle(options)
    assert not list((tmp_path / "sweeps").rglob("packed"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data_root: none was given; allowed: a folder that holds decathlon-1.0 and, for the target stl10"),
        (["--data", ".", "--data-root", "."], "data: given together with data_root; allowed: one of them"),
        (["--data-root", "."], "data_root: no decathlon-1.0/annotations in '.'"),
        (["--data", ".", "--targets", "dtd"], "missing: imagenet-mini-train.npz, dtd-train.npz, dtd-test.npz"),
        (["--methods", "BWD"], "methods: 'BWD' is not known (did you mean 'BDW'?)"),
        (["--methods", "BDW eta"], "methods: 'eta' is no setting; allowed: NAME=VALUE, as in 'BDW eta=100'"),
        (["--methods", "DW", "DW"], "methods: 'DW' is given twice; allowed: each once"),
        (["--seeds", "1", "1"], "seeds: 1 is given twice; allowed: each once"),
        (["--fine-tuning-epochs", "0"], "fine_tuning_epochs: 0 cannot work; allowed: 1 or more"),
        (
            ["--one-run", "--targets", "dtd"],
            "one_run: cannot work with the one target 'dtd'; allowed: two targets or more",
        ),
        (["--one-run", "--epochs", "1"], "epochs: 1 cannot work with one_run; allowed: 2 or more"),
        (
            ["--one-run", "--storage-path", "s3://bucket/sweeps"],
            "one_run: cannot work with storage_path 's3://bucket/sweeps'; allowed: a folder that all machines see",
        ),
        (
            ["--one-run", "--methods", "kept by one run: BDW"],
            "methods: 'kept by one run' is given twice; allowed: each once",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], message: str, refused: Callable[..., str]) -> None:
    assert message in refused(main, arguments, "visual_decathlon")
