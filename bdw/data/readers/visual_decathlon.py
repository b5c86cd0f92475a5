"""The Visual Decathlon challenge (Rebuffi, Bilen and Vedaldi 2017) in its own layout: ten domains, a reader for each.

    decathlon-1.0/annotations/DOMAIN_train.json and DOMAIN_val.json      lists of images, annotations and categories
    decathlon-1.0/data/DOMAIN/train/0001/000001.jpg and so on            where the lists' file_name says

The lists are COCO's: an annotation joins an image_id and a category_id. The challenge kept its test labels to itself
(DOMAIN_test_stripped.json names images only), so val is what a target is tested on, and its validation images are drawn
from train by the data's seed: as in the code that the method's authors published. A source is train alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bdw.data.decode import decode
from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Request, SplitName
from bdw.errors import InputError

DOMAINS = (
    "aircraft", "cifar100", "daimlerpedcls", "dtd", "gtsrb", "imagenet12", "omniglot", "svhn", "ucf101", "vgg-flowers",
)  # fmt: skip
PREFIX = "decathlon-"
FOLDER = "decathlon-1.0"
ORIGIN = (
    "decathlon-1.0-devkit.tar.gz, decathlon-1.0-data.tar.gz and, for imagenet12, decathlon-1.0-data-imagenet.tar, with "
    "all tar files in data unpacked; see https://www.robots.ox.ac.uk/~vgg/decathlon/"
)
_TRAIN, _VAL = "train", "val"
_SOURCE: tuple[str, ...] = (_TRAIN,)
_TARGET: tuple[str, ...] = (_TRAIN, _VAL)


class Domain:
    """One domain, under the name `decathlon-DOMAIN`; the path or the data root is decathlon-1.0 or holds it."""

    def __init__(self, domain: str) -> None:
        self.name = f"{PREFIX}{domain}"
        self._domain = domain
        self.below_root = (f"{FOLDER}/annotations", f"{FOLDER}/data/{domain}")
        """What it reads below the data root."""

    def source(self, request: Request) -> Part:
        """The images of train; their labels are for reports only."""
        return self._parts(request, _SOURCE)[0]

    def target(self, request: Request) -> dict[SplitName, Part]:
        """The images of train, from which validation is to be held out, and those of val as test."""
        train, test = self._parts(request, _TARGET)
        if not set(train.names).isdisjoint(test.names):
            raise InputError(f"{request.option}: {self.name!r}: train and val have images in common; allowed: none")
        return {"train": train, "test": test}

    def _parts(self, request: Request, names: Sequence[str]) -> list[Part]:
        root = _root(request.path or request.root, request.option)
        _require(request.option, root, {self._domain: names})
        lists = [_list(root, self._domain, name) for name in names]
        categories = {number: name for found in lists for number, name in found.categories.items()}
        return [self._part(request, root, found, categories) for found in lists]

    def _part(self, request: Request, root: Path, found: _List, categories: Mapping[int, str]) -> Part:
        label_of = {number: label for label, number in enumerate(sorted(categories))}
        channels = request.channels or 3

        def read(i: int) -> Pixels:
            return decode(root / found.files[i], channels, request.image_size)

        return Part(
            names=[file.removeprefix("data/") for file in found.files],
            labels=np.array([label_of[number] for number in found.category_of], dtype=np.int64),
            read=read,
            channels=channels,
            fingerprint={"reader": self.name, "path": str(root.resolve()), "list": found.digest},
            classes=_class_names(categories),
        )


READERS = tuple(Domain(domain) for domain in DOMAINS)


def require_whole(data_root: Path | None, *, source: str, targets: Sequence[str]) -> None:
    """Raise one `InputError` with everything that is missing of these data sets; names of other data are ignored."""
    wanted = {name.removeprefix(PREFIX): _TARGET for name in targets if name.startswith(PREFIX)}
    if source.startswith(PREFIX):
        wanted.setdefault(source.removeprefix(PREFIX), _SOURCE)
    if wanted:
        _require("data_root", _root(data_root, "data_root"), wanted)


@dataclass(frozen=True)
class _List:
    """What an annotation file says."""

    files: list[str]
    """Relative to decathlon-1.0, in the file's order."""
    category_of: list[int]
    """By image."""
    categories: dict[int, str]
    digest: str


def _root(given: Path | None, option: str) -> Path:
    if given is None:
        raise InputError(f"{option}: no --data-root is set; allowed: a folder that holds {FOLDER} ({ORIGIN})")
    for root in (given / FOLDER, given):
        if (root / "annotations").is_dir():
            return root
    raise InputError(f"{option}: no {FOLDER}/annotations in {str(given)!r}; allowed: a folder that holds it ({ORIGIN})")


def _require(option: str, root: Path, wanted: Mapping[str, Sequence[str]]) -> None:
    missing = [what for domain, parts in wanted.items() for what in _missing(root, domain, parts)]
    if missing:
        raise InputError(f"{option}: {str(root)!r} is not complete; missing: {'; '.join(missing)} ({ORIGIN})")


def _missing(root: Path, domain: str, parts: Sequence[str]) -> list[str]:
    """In words, the missing parts of a domain."""
    found = []
    has_images = (root / "data" / domain).is_dir()
    if not has_images:
        packed = f", only data/{domain}.tar" if (root / "data" / f"{domain}.tar").is_file() else ""
        found.append(f"data/{domain}{packed}")
    for part in parts:
        name = f"annotations/{domain}_{part}.json"
        if not (root / name).is_file():
            found.append(name)
        elif has_images:
            files = _list(root, domain, part).files
            absent = _absent(root, files)
            if absent:
                found.append(f"{len(absent):,} of {len(files):,} images of {domain} {part}, {absent[0]} for one")
    return found


def _absent(root: Path, files: Sequence[str]) -> list[str]:
    """The files that are not there; every folder is listed once, which for a million files is much the fastest."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_folder[os.path.dirname(file)].append(file)  # noqa: PTH120
    absent = []
    for folder, own in by_folder.items():
        path = root / folder
        there = {entry.name for entry in os.scandir(path)} if path.is_dir() else set()
        absent += [file for file in own if os.path.basename(file) not in there]  # noqa: PTH119
    return absent


def _list(root: Path, domain: str, part: str) -> _List:
    file = root / "annotations" / f"{domain}_{part}.json"
    status = file.stat()
    return _read(str(file), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: str, size: int, modified: int) -> _List:
    """An annotation file; kept for a while, since ImageNet's is large and is asked for several times."""
    del size, modified
    contents = Path(path).read_bytes()
    try:
        lists = json.loads(contents)
        names = {image["id"]: _inside(image["file_name"]) for image in lists["images"]}
        categories = {
            int(category["id"]): str(category.get("name", category["id"])) for category in lists["categories"]
        }
        category_of = _categories_by_image(lists["annotations"])
        numbers = [category_of[image] for image in names]
        unknown = set(numbers) - set(categories)
        if len(set(names.values())) < len(lists["images"]):
            raise ValueError("it lists an image twice")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path!r} is not a list of the Visual Decathlon ({what})") from None
    if unknown or not names:
        what = f"category_id {min(unknown)} is not among its categories" if unknown else "it lists no images"
        raise InputError(f"{path!r} is not a list of the Visual Decathlon ({what})")
    return _List(list(names.values()), numbers, categories, hashlib.sha256(contents).hexdigest())


def _categories_by_image(annotations: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for annotation in annotations:
        image, category = annotation["image_id"], int(annotation["category_id"])
        if found.setdefault(image, category) != category:
            raise ValueError(f"image {image} has two categories")
    return found


def _inside(name: str) -> str:
    parts = Path(name).parts
    if name.startswith("/") or ".." in parts or not parts:
        raise ValueError(f"file_name {name!r} lies outside of {FOLDER}")
    return name


def _class_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    """Names by label; where categories share one, with their numbers."""
    times = Counter(categories.values())
    return tuple(name if times[name] == 1 else f"{name} ({number})" for number, name in sorted(categories.items()))
