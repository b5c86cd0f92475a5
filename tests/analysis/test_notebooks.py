import base64
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "analysis" / "notebooks" / "critical_difference.ipynb"


def executed(where: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Run the notebook in `where`; return what it printed, warnings included, and how many pictures it drew."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # The kernel keeps its history and settings here, not in the home of whoever runs the tests.
    monkeypatch.setenv("IPYTHONDIR", str(where / ".ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(where)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    return printed, sum("image/png" in output.get("data", {}) for output in outputs)


def test_runs_from_top_to_bottom_without_a_results_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, num_pictures = executed(tmp_path, monkeypatch)
    assert "chi-square 15.60" in printed
    assert "chi-square 13.08" in printed
    assert "EXAMPLE, invented numbers: 64 rows" in printed
    assert "Warning" not in printed
    assert num_pictures == 3


@pytest.mark.slow
def test_draws_a_results_table_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows = [
        {
            "method": m,
            "domain": "one",
            "seed": 0,
            "metric": "accuracy",
            "value": generator.uniform(),
            "wall_seconds": 9.0 + i,
        }
        for i, m in enumerate(["RotNet", "BDW eta=1", "BDW eta=10"])
    ]
    table = pd.DataFrame(rows).assign(higher_is_better=True, instances_seen=1000, kept_fraction=1.0, run="r")
    table.to_parquet(tmp_path / "results.parquet")
    printed, num_pictures = executed(tmp_path, monkeypatch)
    assert "results.parquet: 3 rows" in printed
    assert "No critical-difference diagram: domains: 1 (one); allowed: at least 2" in printed
    assert num_pictures == 2


def test_committed_outputs_are_there_and_small() -> None:
    assert NOTEBOOK.stat().st_size < 150_000
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
    assert not any(output["output_type"] == "error" for cell in notebook.cells for output in cell.get("outputs", []))
