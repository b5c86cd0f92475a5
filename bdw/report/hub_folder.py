"""A run as two folders that can be uploaded to Hugging Face's hub as they are: a model and a data set, with cards.

`model/` has the encoder and its card, and of a run with several targets the encoder of each; `dataset/` the instance
weights, their card and a description in Croissant (MLCommons, version 1.0). Nothing is sent anywhere. Of paths the
cards tell the last part alone; names of images stand in the table of weights, which whoever uploads it should know.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bdw.errors import InputError
from bdw.report.croissant import croissant
from bdw.report.outcome import Outcome
from bdw.report.run_files import RunFiles, read_run
from bdw.report.verdict import verdict
from bdw.runs.directory import RunDirectory
from bdw.runs.export import read_encoder, read_table
from bdw.storage.atomic_write import replacing

METHOD = (
    'BetaDataWeighter (Ericsson, Gouk and Hospedales, "Don\'t Wait, Just Weight", '
    "[arXiv:2006.12360](https://arxiv.org/abs/2006.12360), 2020)"
)
CITATION = (
    "Ericsson, L., Gouk, H. and Hospedales, T. M. (2020). Don't Wait, Just Weight: Improving Unsupervised "
    "Representations by Learning Goal-Driven Instance Weights. arXiv:2006.12360"
)
COLUMNS = {
    "index": "number of the image in the pool",
    "name": "name of the image: its path below the pool's folder, where the pool is one",
    "a": "first parameter of the Beta distribution over the weight; empty with weighters that have none",
    "b": "second parameter of it; the larger a + b, the more is known of the image",
    "mean": "mean weight, a / (a + b): in the recommended recipe the probability that the image helps",
    "variance": "variance of the weight",
    "kept": "whether the image was trained on to the end",
    "pruned_at_epoch": "epoch after which it was discarded; 0 for never",
    "planted": "1 for an image that is useful by construction, 0 for planted junk, -1 unknown",
    "kind": "what a planted image is",
}
"""What the columns of instance_weights.parquet mean."""
_TAGS = ["self-supervised-learning", "data-selection", "beta-data-weighter"]
_TO_FILL_IN = "*To be filled in by whoever publishes it:*"


def write_hub_folder(run_dir: Path, out: Path) -> list[Path]:
    """Write both folders below the new folder `out`, whole or not at all; returns their files.

    Raises `InputError` where `out` exists or the run has left no encoder.
    """
    run = RunDirectory(run_dir)
    if out.exists():
        raise InputError(f"out: {out} exists; allowed: a new folder")
    if not run.encoder.is_file():
        raise InputError(f"run: {run_dir} holds no encoder.safetensors; allowed: the directory of a finished run")
    files = read_run(run_dir)
    _, metadata = read_encoder(run.encoder)
    with replacing(out) as temporary:
        model, dataset = temporary / "model", temporary / "dataset"
        model.mkdir(parents=True)
        shutil.copyfile(run.encoder, model / run.encoder.name)
        for target in files.targets:
            if run.encoder_for(target).is_file():  # Only a run that has ended leaves them.
                shutil.copyfile(run.encoder_for(target), model / _encoder_for(target, files))
        (model / "README.md").write_text(model_card(files, metadata, out.name), encoding="utf-8")
        if run.instance_weights.is_file():
            dataset.mkdir()
            table = dataset / run.instance_weights.name
            shutil.copyfile(run.instance_weights, table)
            (dataset / "README.md").write_text(data_card(files, table, out.name), encoding="utf-8")
            described = croissant(
                table,
                name=f"{out.name}-weights",
                description="How useful each image of a pool is for a task, as BetaDataWeighter learnt it.",
                cite_as=CITATION,
                columns=COLUMNS,
            )
            (dataset / "croissant.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return sorted(path for path in out.rglob("*") if path.is_file())


def model_card(run: RunFiles, metadata: Mapping[str, str], name: str) -> str:
    """The model card, in Markdown below YAML as the hub wants it; `metadata` is that of the encoder's file."""
    outcome = Outcome.of(run)
    head: dict[str, Any] = {
        "library_name": "bdw",
        "pipeline_tag": "image-feature-extraction",
        "tags": _TAGS,
    }
    results = [_result(shown(target), run.measure.name, value) for target, value in _tested(run).items()]
    if results:
        head["model-index"] = [{"name": name, "results": results}]
    size, channels = metadata["crop_size"], metadata["channels"]
    facts = [
        ("architecture", f"`{metadata['encoder']}`, without a head"),
        ("input", f"{channels} channel(s), {size} x {size} pixels; {metadata.get('image_size', size)} before the crop"),
        ("features", metadata.get("feature_dim", "see the file's metadata")),
        ("pretext task", f"`{run.config.get('pretext')}`"),
        ("weighter", f"`{run.config.get('weighter')}`"),
        ("pool", f"{shown(run.config.get('source'))}, {_number(outcome.num_images)} images"),
        *_facts_of_targets(run),
        ("images trained on, repeats counted", f"{outcome.seen:,.0f}"),
        ("seed", str(run.config.get("seed"))),
    ]
    return _page(
        head,
        f"# {name}",
        f"An image encoder, pre-trained by self-supervision on a pool of unlabelled images that {METHOD} weighed for a "
        "target task.",
        "## What it is",
        _table(("", ""), facts),
        "## What came of it",
        "\n".join(f"* **{finding.label}.** {finding.text}" for finding in verdict(outcome)),
        "## Use it",
        "```python\nimport bdw\n\nencoder, transform = bdw.load_encoder('encoder.safetensors')\n"
        "features = encoder(transform(images))  # uint8 (B, c, h, w) to float32 (B, d)\n```",
        "The weights load into the bare architecture as well, torchvision's or timm's; how pixels are scaled stands in "
        "the file's metadata.",
        "## Limits",
        "One run with one seed: the scores above say nothing about how far they would move with another. Accuracy is "
        "that of a classifier on frozen features of the target, and promises nothing for other tasks. What the pool "
        f"shows, and what it lacks, the encoder has learnt.\n\n{_TO_FILL_IN} licence, intended use, where the pool's "
        "images come from and whose they are.",
    )


def _tested(run: RunFiles) -> dict[str, float]:
    """Target -> test score of the run's measure, of the encoder that was delivered for it."""
    if run.results is None:
        return {}
    rows = run.results[run.results["metric"] == run.measure.name]
    return {str(row["domain"]): float(row["value"]) for row in rows.to_dict("records")}


def _result(target: str, metric: str, value: float) -> dict[str, Any]:
    """As the hub wants it."""
    return {
        "task": {"type": "image-classification", "name": "measured on frozen features"},
        "dataset": {"name": target, "type": target},
        "metrics": [{"type": metric, "value": round(value, 6)}],
    }


def _encoder_for(target: str, run: RunFiles) -> str:
    """Its number stands for the target, whose name may be a path."""
    return f"encoder_for_target_{run.targets.index(target) + 1}.safetensors"


def _facts_of_targets(run: RunFiles) -> list[tuple[str, str]]:
    """Rows of the card's table."""
    if not run.targets:
        return [("target", f"{shown(run.config.get('target'))}, images by split: {_splits(run.target_images)}")]
    facts = [("`encoder.safetensors`", "of the epoch with the best mean score over the targets")]
    for number, target in enumerate(run.targets, 1):
        told = f"{shown(target)}, images by split: {_splits(run.images_of(target))}"
        if RunDirectory(run.directory).encoder_for(target).is_file():
            told += f"; `{_encoder_for(target, run)}` is of its best epoch, and its score above is this encoder's"
        facts.append((f"target {number}", told))
    return facts


def _targets(run: RunFiles) -> str:
    return ", ".join(map(shown, run.targets or [str(run.config.get("target"))]))


def data_card(run: RunFiles, table: Path, name: str) -> str:
    """The card of the data set of weights, in the same form."""
    weights = read_table(table)
    head = {
        "configs": [{"config_name": "default", "data_files": table.name}],
        "size_categories": [_size_category(len(weights))],
        "tags": _TAGS,
    }
    columns = [(f"`{column}`", COLUMNS.get(column, "")) for column in weights.column_names]
    whom = "several target tasks together" if run.targets else "one target task"
    kept = int(sum(weights["kept"].to_pylist())) if "kept" in weights.column_names else len(weights)
    return _page(
        head,
        f"# {name}: instance weights",
        f"How useful each image of a pool is for {whom}, as {METHOD} learnt it while an encoder was pre-trained. "
        f"{len(weights):,} images of {shown(run.config.get('source'))}, of which {kept:,} were kept; target: "
        f"{_targets(run)}. The images themselves are not part of it.",
        "## Columns",
        _table(("column", "meaning"), columns),
        "## How it was made",
        f"Weighter `{run.config.get('weighter')}`, pretext task `{run.config.get('pretext')}`, seed "
        f"{run.config.get('seed')}; {len(run.metrics)} epochs. Weights are statements about the target named above: "
        "for another one the same images may be worth something else.",
        "## Before you publish it",
        f"Names of images may tell more than they should.\n\n{_TO_FILL_IN} licence, where the images come from, and "
        "whether their names may be published.",
    )


def shown(spec: object) -> str:
    """What a specification names, without the folders around it: `folder:/srv/photos` is `photos`."""
    text = str(spec)
    if text.startswith("mixture:"):
        return " + ".join(shown(part) for part in text.removeprefix("mixture:").split("+"))
    return text.rstrip("/").rpartition("/")[2]


def _splits(images: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {number:,}" for split, number in images.items()) or "unknown"


def _number(value: int | None) -> str:
    return "an unknown number of" if value is None else f"{value:,}"


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {one} | {other} |" for one, other in [head, ("---", "---"), *rows])


def _page(head: Mapping[str, Any], *parts: str) -> str:
    return "\n\n".join([f"---\n{yaml.safe_dump(dict(head), sort_keys=False).strip()}\n---", *parts]) + "\n"


def _size_category(count: int) -> str:
    """As the hub spells it."""
    bounds = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
    return next((name for name, bound in bounds if count < bound), "10M<n<100M" if count < 10**8 else "100M<n<1B")
