"""Sample data sets, written once for the whole package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bdw.data import pack

# pytest imports test modules by file here (importlib mode), so a helper beside them has to be made findable.
sys.path.insert(0, str(Path(__file__).parent))
import sample_sets


@pytest.fixture(scope="session")
def sample_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with every named set, and below `paths` one of each kind that is given by its path."""
    root = tmp_path_factory.mktemp("data_root")
    sample_sets.write_named_sets(root)
    paths = root / "paths"
    sample_sets.write_folder(paths / "folder")
    sample_sets.write_folder(paths / "split_folder", splits=True)
    sample_sets.write_raw_npz(paths / "raw-train.npz")
    sample_sets.write_raw_npz(paths / "raw-test.npz", seed=1)
    sample_sets.write_encoded_npz(paths / "encoded-train.npz")
    sample_sets.write_encoded_npz(paths / "encoded-test.npz", seed=1)
    sample_sets.write_encoded_npz(paths / "pool-unlabelled.npz", labelled=False)
    sample_sets.write_parquet(paths / "parquet")
    sample_sets.write_saved_dataset(paths / "saved")
    sample_sets.write_tars(paths / "tars")
    pack(str(paths / "folder"), paths / "packed", 8, part="train")
    return root
