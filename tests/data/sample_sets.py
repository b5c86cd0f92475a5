"""Tiny data sets in the layouts of the real ones, written from code: 3 classes, 10 images of each class and split."""

from __future__ import annotations

import csv
import io
import json
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from bdw.data.readers import visual_decathlon

NUM_CLASSES = 3
PER_CLASS = 10
LABELS = np.tile(np.arange(NUM_CLASSES), PER_CLASS)


def pictures(count: int, height: int, width: int, *, seed: int = 0, colours: int = 3) -> NDArray[np.uint8]:
    """Random smooth pictures (n, h, w, 3) or (n, h, w)."""
    coarse = np.random.default_rng([seed, count]).integers(0, 256, (count, 4, 4, colours), dtype=np.uint8)
    mode_shape = (count, height, width, colours) if colours > 1 else (count, height, width)
    grown = [np.asarray(Image.fromarray(c if colours > 1 else c[..., 0]).resize((width, height))) for c in coarse]
    return np.stack(grown).reshape(mode_shape)


def encode(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_folder(root: Path, *, splits: bool = False, suffix: str = "png") -> Path:
    for s, split in enumerate(("train", "test") if splits else (".",)):
        for i, (image, label) in enumerate(zip(pictures(len(LABELS), 12, 10, seed=s), LABELS, strict=True)):
            folder = root / split / "abc"[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:03d}.{suffix}")
    return root


def write_raw_npz(file: Path, *, seed: int = 0) -> Path:
    images = pictures(len(LABELS), 9, 9, seed=seed, colours=1)
    np.savez(file, images=images, labels=LABELS, classes=np.array(["a", "b", "c"]))
    return file


def write_encoded_npz(file: Path, *, seed: int = 0, labelled: bool = True, broken: int | None = None) -> Path:
    files = [encode(image, "JPEG") for image in pictures(len(LABELS), 12, 14, seed=seed)]
    if broken is not None:
        files[broken] = files[broken][: len(files[broken]) // 2]
    arrays = {
        "data": np.frombuffer(b"".join(files), dtype=np.uint8),
        "offsets": np.cumsum([0] + [len(f) for f in files]),
        "labels": LABELS if labelled else np.full(len(LABELS), -1),
    }
    if labelled:
        arrays["classes"] = np.array(["a", "b", "c"])
    np.savez(file, **arrays)
    return file


def image_table(*, seed: int = 0, labelled: bool = True, paths: bool = True) -> pa.Table:
    """Images and labels as Hugging Face's `datasets` has them in Arrow, its description in the metadata included."""
    files = [encode(image, "JPEG") for image in pictures(len(LABELS), 12, 14, seed=seed)]
    images = [{"bytes": file, "path": f"{seed}/{i:03d}.jpg" if paths else None} for i, file in enumerate(files)]
    columns = {"image": pa.array(images, pa.struct({"bytes": pa.binary(), "path": pa.string()}))}
    features: dict[str, object] = {"image": {"_type": "Image"}}
    if labelled:
        columns["label"] = pa.array(LABELS, pa.int64())
        features["label"] = {"names": ["a", "b", "c"], "_type": "ClassLabel"}
    table = pa.table(columns)
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_parquet(root: Path) -> Path:
    """A folder as it lies on Hugging Face's hub: two shards for training in two row groups each, one for tests."""
    (root / "data").mkdir(parents=True)
    (root / "README.md").write_text("A card.")
    train = image_table()
    for i, half in enumerate((train.slice(0, 17), train.slice(17))):
        pq.write_table(half, root / "data" / f"train-{i:05d}-of-00002.parquet", row_group_size=9)
    pq.write_table(image_table(seed=1), root / "data" / "test-00000-of-00001.parquet")
    return root


def write_saved_dataset(root: Path, **options: bool) -> Path:
    """What `datasets.DatasetDict.save_to_disk` leaves: Arrow's streaming format, and JSON files that name shards."""
    root.mkdir(parents=True)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    for seed, split in enumerate(("train", "test")):
        table = image_table(seed=seed, **options)
        (root / split).mkdir()
        names = [f"data-{i:05d}-of-00002.arrow" for i in range(2)]
        for name, half in zip(names, (table.slice(0, 11), table.slice(11)), strict=True):
            with pa.OSFile(str(root / split / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(half, max_chunksize=4)
        state = {"_data_files": [{"filename": name} for name in names], "_split": split, "_fingerprint": "0"}
        (root / split / "state.json").write_text(json.dumps(state))
        (root / split / "dataset_info.json").write_text("{}")
    return root


def write_tar(file: Path, *, seed: int = 0, rows: slice = slice(None), label: str | None = "cls") -> Path:
    """A shard in WebDataset's layout."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:

        def add(name: str, contents: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))

        for i, image in list(enumerate(pictures(len(LABELS), 12, 14, seed=seed)))[rows]:
            add(f"{i:04d}.jpg", encode(image, "JPEG"))
            add(f"{i:04d}.txt", b"a caption")
            if label == "cls":
                add(f"{i:04d}.cls", f"{LABELS[i]}\n".encode())
            elif label == "json":
                add(f"{i:04d}.json", json.dumps({"label": "abc"[LABELS[i]], "width": 14}).encode())
    return file


def write_tars(root: Path) -> Path:
    write_tar(root / "train-000000.tar", rows=slice(0, 14))
    write_tar(root / "train-000001.tar", rows=slice(14, None))
    write_tar(root / "test-000000.tar", seed=1)
    return root


def write_stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("a\nb\nc\n")
    for s, (split, label_file) in enumerate((("train", True), ("test", True), ("unlabeled", False))):
        images = pictures(len(LABELS), 96, 96, seed=s)
        images.transpose(0, 3, 2, 1).tofile(folder / f"{split}_X.bin")  # planes, stored column by column
        if label_file:
            (LABELS + 1).astype(np.uint8).tofile(folder / f"{split}_y.bin")


def write_cifar(root: Path, classes: int) -> None:
    folder = root / {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}[classes]
    folder.mkdir(parents=True)
    names = {10: "batches.meta.txt", 100: "fine_label_names.txt"}[classes]
    (folder / names).write_text("a\nb\nc\n\n")
    train = [f"data_batch_{i}.bin" for i in range(1, 6)] if classes == 10 else ["train.bin"]
    test = ["test_batch.bin"] if classes == 10 else ["test.bin"]
    for s, name in enumerate((*train, *test)):
        planes = pictures(len(LABELS), 32, 32, seed=s).transpose(0, 3, 1, 2).reshape(len(LABELS), -1)
        labels = LABELS[:, None].astype(np.uint8)
        coarse = np.full_like(labels, 19)
        records = [labels, planes] if classes == 10 else [coarse, labels, planes]
        np.concatenate(records, axis=1).tofile(folder / name)


def write_mnist_like(root: Path, title: str) -> None:
    folder = root / title / "raw"
    folder.mkdir(parents=True)
    for s, prefix in enumerate(("train", "t10k")):
        images = pictures(len(LABELS), 28, 28, seed=s, colours=1)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 0x803, *images.shape) + images.tobytes()
        )
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2i", 0x801, len(LABELS)) + LABELS.astype(np.uint8).tobytes()
        )


def write_svhn(root: Path) -> None:
    for s, split in enumerate(("train", "test")):
        images = pictures(len(LABELS), 32, 32, seed=s).transpose(1, 2, 3, 0)
        savemat(root / f"{split}_32x32.mat", {"X": images, "y": np.where(LABELS == 0, 10, LABELS)[:, None]})


def write_gtsrb(root: Path) -> None:
    images = pictures(len(LABELS), 20, 24)
    test = root / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    test.mkdir(parents=True)
    rows = []
    for i, label in enumerate(LABELS):
        folder = root / "gtsrb" / "GTSRB" / "Training" / f"{label:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(folder / f"{i:05d}.ppm")
        Image.fromarray(images[i][::-1]).save(test / f"{i:05d}.ppm")
        rows.append({"Filename": f"{i:05d}.ppm", "ClassId": int(label)})
    with (root / "gtsrb" / "GT-final_test.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["Filename", "ClassId"], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def write_dtd(root: Path) -> None:
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for s, split in enumerate(("train", "val", "test")):
        lines = []
        for i, (image, label) in enumerate(zip(pictures(len(LABELS), 30, 40, seed=s), LABELS, strict=True)):
            name = f"{'abc'[label]}/{split}{i}.jpg"
            (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(base / "images" / name)
            lines.append(name)
        (base / "labels" / f"{split}1.txt").write_text("\n".join(lines) + "\n")


def write_flowers(root: Path) -> None:
    base = root / "flowers-102"
    (base / "jpg").mkdir(parents=True)
    labels = np.tile(LABELS, 3)
    for i, image in enumerate(pictures(len(labels), 20, 20), start=1):
        Image.fromarray(image).save(base / "jpg" / f"image_{i:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": labels[None] + 1})
    numbers = np.arange(1, len(labels) + 1).reshape(3, 1, -1)
    savemat(base / "setid.mat", dict(zip(("trnid", "valid", "tstid"), numbers, strict=True)))


def write_aircraft(root: Path) -> None:
    base = root / "fgvc-aircraft-2013b" / "data"
    (base / "images").mkdir(parents=True)
    (base / "variants.txt").write_text("a\nb\nc\n")
    for s, split in enumerate(("train", "val", "test")):
        lines = []
        for i, (image, label) in enumerate(zip(pictures(len(LABELS), 30, 20, seed=s), LABELS, strict=True)):
            Image.fromarray(image).save(base / "images" / f"{s}{i:04d}.jpg")
            lines.append(f"{s}{i:04d} {'abc'[label]}")
        (base / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n")


def write_omniglot(root: Path) -> None:
    for i, label in enumerate(LABELS):
        folder = root / "omniglot-py" / "images_background" / "Latin" / f"character{label + 1:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures(1, 105, 105, seed=i, colours=1)[0] > 128).save(folder / f"{i:04d}_01.png")


def write_decathlon(root: Path, domains: Sequence[str], *, categories: int = NUM_CLASSES) -> Path:
    """The challenge's devkit and images below `root`: 21 + 9 images of 24 x 18 pixels in every domain."""
    base = root / "decathlon-1.0"
    (base / "annotations").mkdir(parents=True)
    for d, domain in enumerate(domains):
        first = 10_000_000 * (d + 1)
        kinds = [{"id": first + c + 1, "name": "abc"[c % 3] * (1 + c // 3)} for c in range(categories)]
        number = first
        for split, count in (("train", 21), ("val", 9), ("test", 4)):
            images, annotations = [], []
            for i, pixels in enumerate(pictures(count, 18, 24, seed=10 * d + count)):
                number += 1
                folder = "" if split == "test" else f"{i % categories + 1:04d}/"
                name = f"data/{domain}/{split}/{folder}{i + 1:06d}.jpg"
                (base / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(base / name)
                images.append({"id": number, "file_name": name, "width": 24, "height": 18})
                category = kinds[i % categories]["id"]
                annotations.append({"id": number, "image_id": number, "category_id": category, "segmentation": []})
            hidden = split == "test"
            contents = {"images": images, "annotations": [] if hidden else annotations[::-1], "categories": kinds}
            (base / "annotations" / f"{domain}_{split}{'_stripped' * hidden}.json").write_text(json.dumps(contents))
    return base


def write_named_sets(root: Path) -> None:
    """All sets that are found by name below a data root."""
    write_stl10(root)
    write_cifar(root, 10)
    write_cifar(root, 100)
    for title in ("MNIST", "FashionMNIST", "KMNIST"):
        write_mnist_like(root, title)
    write_svhn(root)
    write_gtsrb(root)
    write_dtd(root)
    write_flowers(root)
    write_aircraft(root)
    write_omniglot(root)
    write_decathlon(root, visual_decathlon.DOMAINS)


def trust_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision compares some files with md5 sums of the real data, which ours cannot have."""
    for module in ("svhn", "flowers102", "omniglot"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *args, **kwargs: True)
