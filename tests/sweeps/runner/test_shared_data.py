"""The data of a sweep whose machines share no file system: packed once, beside the sweep's storage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bdw.config import RunConfig
from bdw.data import load, pack_arrays
from bdw.data import problem as problems
from bdw.data.readers import addresses
from bdw.data.remote_stores import push_store
from bdw.errors import InputError
from bdw.ray.trial import on_this_machine
from bdw.storage.remote_folder import RemoteFolder, below
from sweeps import search
from sweeps.runner import datasets, decathlons
from sweeps.runner.episode_designs import Room
from sweeps.runner.experiment import Experiment
from sweeps.runner.options import SweepOptions
from sweeps.runner.tune_runner import Workload
from sweeps.tuning.options import EXPERIMENT, Request, settled

WORKLOAD = Workload(num_workers=1, cpus_per_trial=1.0, gpus_per_trial=0.0, concurrency=1, has_driver_resource=False)


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the head of a cluster."""
    use_machine(tmp_path / "head", monkeypatch)


def use_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    for module in (addresses, problems):
        monkeypatch.setattr(module, "CACHE", str(home / "data"))


def tiny_set(file: Path, count: int, *, labelled: bool = True) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(count) % 10 if labelled else np.full(count, -1))


@pytest.mark.usefixtures("at_home")
def test_a_sweeps_data_are_packed_once_and_trials_fetch_them(
    tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    tiny_set(root / "imagenet-mini-train.npz", 300)
    tiny_set(root / "cifar10-train.npz", 200)
    tiny_set(root / "cifar10-test.npz", 100)
    remote = RemoteFolder.at(below(s3_address, "data"))
    for path in root.iterdir():
        remote.push(path, path.name)
    options = SweepOptions(
        data_root=below(s3_address, "data"), storage_path=below(s3_address, "sweeps"), name="mine", smoke=True
    )
    choice = datasets.choose("tiny-imagenet")
    settled = Experiment.settle("kind", options, choice)
    assert settled.search_room.num_images == 160
    assert settled.search_room.num_classes == 10

    # The same sweep goes on from a new head, whatever has become of the originals; nothing is loaded there.
    remote.files.delete_dir(remote.root)
    use_machine(tmp_path / "new head", monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(problems, "load", lambda *args, **options: pytest.fail("loaded"))
        patch.setattr(addresses, "_fetched", lambda *args: pytest.fail("fetched"))
        again = Experiment.settle("kind", options, choice)
    assert again.search_room == settled.search_room
    assert again.settings() == settled.settings()
    assert not list((tmp_path / "new head").rglob("images.npy"))

    # A trial on yet another machine.
    use_machine(tmp_path / "worker", monkeypatch)
    plan = WORKLOAD.plan(again.paths, again.base, "a-run")
    config = on_this_machine(json.loads(json.dumps(plan.config)))
    problem = load(config.data, tmp_path / "elsewhere")
    assert problem.source.path.is_relative_to(tmp_path / "worker")
    contents = f"source {problem.source.content_key}, target {problem.target.key}"
    assert settled.search_room.contents == contents
    with pytest.raises(InputError, match="cifar10"):
        load(config.replace(cache_address=None, cache_dir=str(tmp_path / "none")).data, tmp_path / "elsewhere")


@pytest.mark.usefixtures("at_home")
def test_a_search_on_a_packed_pool_and_a_bucket_of_labelled_images(
    tmp_path: Path, s3_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster page's recipe, as far as it goes without a cluster."""
    rng = np.random.default_rng(0)
    pool = pack_arrays(tmp_path / "pool", rng.integers(0, 256, (80, 3, 96, 96), dtype=np.uint8))
    push_store(pool, RemoteFolder.at(below(s3_address, "pool")))
    labelled = RemoteFolder.at(below(s3_address, "labelled"))
    for i in range(36):
        file = tmp_path / f"{i}.jpg"
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
        labelled.push(file, f"{'abc'[i % 3]}/{i:02d}.jpg")
    options = search.Options(
        source=below(s3_address, "pool"),
        targets=(below(s3_address, "labelled"),),
        storage_path=below(s3_address, "sweeps"),
        name="photos",
    )
    request = Request.of(options)
    found = Experiment.settle(EXPERIMENT, settled(options, request), request.choice)
    # Of 12 images a class 2 are for each of the other splits.
    assert (found.search_room.num_classes, found.search_room.smallest_class) == (3, 8)
    here = [path.parent.name for path in (tmp_path / "head").rglob("images.npy")]
    assert [name.partition("-")[0] for name in here] == ["labelled"], "the pool is fetched by the head"
    use_machine(tmp_path / "worker", monkeypatch)
    config = on_this_machine(json.loads(json.dumps(WORKLOAD.plan(found.paths, found.base, "run").config)))
    problem = load(config.data, tmp_path / "elsewhere")
    assert problem.source.content_key == pool.content_key
    assert Room.of(problem.description) == found.search_room


@pytest.mark.usefixtures("at_home")
def test_where_machines_share_a_folder_nothing_is_copied(tmp_path: Path) -> None:
    settled = Experiment.settle(
        "kind", SweepOptions(storage_path=str(tmp_path / "sweeps"), smoke=True), datasets.choose("digits")
    )
    assert settled.paths.data_address is None
    assert WORKLOAD.plan(settled.paths, settled.base, "run").config["cache_address"] is None
    assert not list((tmp_path / "sweeps").rglob("*-for-*.json"))


def test_the_data_of_a_run_have_no_part_in_its_name(tmp_path: Path) -> None:
    settings = RunConfig().replace(cache_address="s3://bucket/packed")
    from sweeps.runner.paths import Paths

    paths = Paths.of(str(tmp_path), "sweep")
    assert paths.run_name(settings, "bdw", "c") == paths.run_name(RunConfig(), "bdw", "c")


def test_a_decathlon_at_an_address_says_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("imagenet-mini-train.npz", "dtd-train.npz", "dtd-test.npz"):
        (folder / name).touch()
    choice, _ = decathlons.choose(f"file://{folder}", None)
    decathlons.require_data(choice, f"file://{folder}", ["dtd"])
    with pytest.raises(InputError, match=r"^data: 'file://.*' is not complete; missing: mnist-train.npz, mnist-te"):
        decathlons.require_data(choice, f"file://{folder}", ["dtd", "mnist"])
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"^data: 'file://.*' is not complete; missing: imagenet-mini-train.npz"):
        decathlons.require_data(choice, f"file://{folder}", ["dtd"])
