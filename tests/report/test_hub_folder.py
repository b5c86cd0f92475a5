"""A run for Hugging Face's hub: cards that its library reads, a description of the very file, no path of a machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from sklearn.datasets import load_digits

import bdw
from bdw import cli
from bdw.report.hub_folder import COLUMNS, shown, write_hub_folder
from bdw.runs.directory import RunDirectory


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private") / "run"
    bdw.fit(preset="digits", max_source=64, epochs=1, run_dir=str(folder))
    return folder


@pytest.fixture(scope="module")
def hub(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "digits-encoder"
    write_hub_folder(run_dir, out)
    return out


def test_the_files_are_those_of_the_run(run_dir: Path, hub: Path) -> None:
    assert sorted(str(path.relative_to(hub)) for path in hub.rglob("*") if path.is_file()) == [
        "dataset/README.md", "dataset/croissant.json", "dataset/instance_weights.parquet",
        "model/README.md", "model/encoder.safetensors",
    ]  # fmt: skip
    for name in ("model/encoder.safetensors", "dataset/instance_weights.parquet"):
        assert (hub / name).read_bytes() == (run_dir / Path(name).name).read_bytes()
    encoder, _ = bdw.load_encoder(hub / "model" / "encoder.safetensors")
    assert encoder.feature_dim > 0


def test_the_hubs_own_library_reads_the_cards(run_dir: Path, hub: Path) -> None:
    model = ModelCard.load(hub / "model" / "README.md")
    assert model.data.library_name == "bdw"
    (result,) = model.data.eval_results or []
    results = pq.read_table(run_dir / "results.parquet").to_pandas().set_index("metric")["value"]
    assert result.metric_value == pytest.approx(results["accuracy"], abs=1e-6)
    assert result.dataset_name == "digits"
    data = DatasetCard.load(hub / "dataset" / "README.md")
    assert data.data.configs == [{"config_name": "default", "data_files": "instance_weights.parquet"}]
    assert data.data.size_categories == ["n<1K"]


def test_cards_tell_what_the_files_hold(run_dir: Path, hub: Path) -> None:
    card = (hub / "model" / "README.md").read_text(encoding="utf-8")
    head, body = yaml.safe_load(card.split("---\n")[1]), card.split("---\n", 2)[2]
    assert head["pipeline_tag"] == "image-feature-extraction"
    assert "64 images" in body
    assert "`rotation`" in body
    data = (hub / "dataset" / "README.md").read_text(encoding="utf-8")
    for column in pq.read_schema(run_dir / "instance_weights.parquet").names:
        assert f"| `{column}` | {COLUMNS[column]} |" in data
    for text in (card, data, (hub / "dataset" / "croissant.json").read_text(encoding="utf-8")):
        assert str(run_dir.parent) not in text


def test_croissant_describes_the_file_beside_it(hub: Path) -> None:
    told = json.loads((hub / "dataset" / "croissant.json").read_text(encoding="utf-8"))
    table = hub / "dataset" / "instance_weights.parquet"
    assert "arXiv:2006.12360" in told["citeAs"]
    (file,) = told["distribution"]
    assert (hub / "dataset" / file["contentUrl"]) == table
    assert file["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    assert file["contentSize"] == f"{table.stat().st_size} B"
    (rows,) = told["recordSet"]
    kinds = {field["source"]["extract"]["column"]: field["dataType"] for field in rows["field"]}
    assert list(kinds) == pq.read_schema(table).names
    assert kinds["name"] == "sc:Text"
    assert kinds["mean"] == "sc:Float"
    assert kinds["kept"] == "sc:Boolean"
    assert kinds["index"] == "sc:Integer"
    assert {field["source"]["fileObject"]["@id"] for field in rows["field"]} == {file["@id"]}


def test_scores_of_several_targets_stand_beside_the_encoders_that_have_them(tmp_path: Path) -> None:
    dark, digits = tmp_path / "private" / "dark.npz", load_digits()
    dark.parent.mkdir()
    images = (255 - 15 * digits.images[:400]).clip(0, 255).astype(np.uint8)
    np.savez(dark, images=images, labels=digits.target[:400])
    run, out = tmp_path / "private" / "run", tmp_path / "two"
    bdw.fit(preset="digits", targets=["digits", str(dark)], max_source=64, epochs=1, run_dir=str(run))
    write_hub_folder(run, out)
    results = pq.read_table(run / "results.parquet").to_pandas()
    scores = results[results["metric"] == "accuracy"].set_index("domain")["value"]
    told = {result.dataset_name: result for result in ModelCard.load(out / "model" / "README.md").data.eval_results}
    assert set(told) == {"digits", "dark.npz"}
    assert told["digits"].metric_value == pytest.approx(scores["digits"], abs=1e-6)
    assert told["dark.npz"].metric_value == pytest.approx(scores[str(dark)], abs=1e-6)
    copies = {RunDirectory(run).encoder_for(name).read_bytes() for name in ("digits", str(dark))}
    assert {(out / "model" / f"encoder_for_target_{n}.safetensors").read_bytes() for n in (1, 2)} == copies
    card = (out / "model" / "README.md").read_text(encoding="utf-8")
    assert "| target 2 | dark.npz, images by split: train " in card
    data = (out / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "for several target tasks together" in data
    assert "target: digits, dark.npz." in data
    assert "private" not in card + data
    for file in [run / "results.parquet", *run.glob("encoder_for_*")]:  # As in a run that is under way.
        file.unlink()
    write_hub_folder(run, tmp_path / "unfinished")
    assert "encoder_for" not in (tmp_path / "unfinished" / "model" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("digits", "digits"),
        ("/srv/photos/", "photos"),
        ("folder:/srv/photos", "photos"),
        ("s3://bucket/pool", "pool"),
        ("mixture:/srv/a+digits+b/c", "a + digits + c"),
    ],
)
def test_paths_are_told_without_their_folders(spec: str, expected: str) -> None:
    assert shown(spec) == expected


def test_the_command(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "hub"
    assert cli.main(["export", "--run", str(run_dir), "--format", "hub", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{out / 'model' / 'encoder.safetensors'}\n" in printed
    assert cli.main(["export", "--run", str(run_dir), "--format", "hub", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"error: out: {out} exists; allowed: a new folder\n"
    assert cli.main(["export", "--encoder", str(out / "model" / "encoder.safetensors"), "--format", "hub"]) == 2
    assert "format: 'hub' describes a run; allowed: --run DIR" in capsys.readouterr().err
    assert cli.main(["export", "--run", str(tmp_path), "--format", "hub", "--out", str(tmp_path / "new")]) == 2
    assert "holds no encoder.safetensors" in capsys.readouterr().err
