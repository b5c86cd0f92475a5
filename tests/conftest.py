"""Fixtures that several test packages use."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bdw.config import RunConfig
from bdw.data import LabelledImages, Problem, Target, pack_arrays

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

START_RAY = (
    "tests/ray/", "tests/sweeps/test_", "tests/sweeps/jobs/", "tests/sweeps/runner/test_tune_runner",
    "tests/sweeps/runner/test_dashboard_metrics", "tests/cluster/test_slurm",
)  # fmt: skip
"""Where tests start Ray, or use the one that others started."""

OF_THE_STORE = {
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a client of `s3_address` must have in its environment; the processes of `local_ray` have it."""

# A shell starts what it puts in the background deaf to Ctrl-C, and what that starts inherits it; some tests send one.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Deals files out to the processes of `pytest -n`, whole; all that start Ray to one process, as they fill the
    machine by themselves and share what they start. The most numerous go first, which are these."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if nodeid.startswith(START_RAY) else super()._split_scope(nodeid)

    return Files(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images; tests that need it are skipped, with the reason, where it is absent."""
    root = Path(os.environ.get("BDW_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (root / "cifar10-train.npz").is_file():
        pytest.skip(f"real images not found at {root}; set BDW_SHARED_DATA to run this test")
    return root


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benchmarks that are run within the test keep their results."""
    from benchmarks import harness

    monkeypatch.setattr(harness, "RESULTS", tmp_path / "benchmarks" / "results")
    harness.RESULTS.mkdir(parents=True)
    return harness.RESULTS


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """A source of 50 images of 12 x 12 pixels, every other one tagged as useful, and a target of three classes whose
    images differ in brightness."""
    rng = np.random.default_rng(0)
    source = pack_arrays(
        tmp_path_factory.mktemp("packed") / "source",
        rng.integers(0, 256, (50, 1, 12, 12), dtype=np.uint8),
        planted=np.arange(50, dtype=np.int8) % 2,
        kinds=["noise", "digit"] * 25,
    )

    def labelled(per_class: int) -> LabelledImages:
        labels = np.arange(3, dtype=np.int64).repeat(per_class)
        images = rng.integers(0, 128, (len(labels), 1, 12, 12)) + 60 * labels[:, None, None, None]
        return LabelledImages(images.clip(0, 255).astype(np.uint8), labels)

    return Problem(source, {"target": Target(labelled(8), labelled(4), labelled(5), ("a", "b", "c"), "key")})


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A run on `problem` in which every instance is visited three times."""
    return RunConfig().replace(**
        {
            "run_dir": str(tmp_path / "run"), "image_size": 12, "crop_size": 12, "batch_size": 16, "epochs": 3,
            "ways": 3, "shots": 2, "queries": 2, "target_batch": 8, "weight_lr": 50.0, "device": "cpu",
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of the tests' own on this machine, with seats for four busy processes; gone when the tests are."""
    import ray

    root = Path(__file__).resolve().parents[1]
    # Socket paths may not be longer than 107 bytes, so no folder of pytest's. The token keeps Ray from leaving one in
    # the home directory.
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        patch.setenv("PYTHONPATH", str(root))
        with pytest.MonkeyPatch.context() as trials:
            for name, value in OF_THE_STORE.items():
                trials.setenv(name, value)
            ray.init(
                address="local",
                num_cpus=4,
                resources={"trial_driver": 4},
                object_store_memory=128 * 2**20,
                _temp_dir=folder,
                log_to_driver=False,
                logging_level="error",
            )
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def s3_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a folder in an object store that speaks S3's language, on this machine."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in OF_THE_STORE.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        client.close()
        # moto remembers, as long as this process lives.
        yield f"s3://bucket/runs/{secrets.token_hex(4)}?scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    finally:
        server.stop()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell of a user with a home of their own and nothing set, such as what other tests' Rays have."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_", "PYTHONPATH"))}
    return {**kept, "HOME": str(tmp_path / "home"), "COLUMNS": "120"}
