"""The notebooks run from top to bottom, on invented numbers and on files as the rest of the repository writes them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from scipy.stats import beta

from bdw.data.packing import pack_arrays
from bdw.runs.export import weights_table, write_table
from bdw.weighting.keep_mask import KeepMask
from bdw.weighting.weighters.protocol import WeightTable
from sweeps.study.tables import write_results, write_trials

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "analysis" / "notebooks"
NUM_PICTURES = {
    "critical_difference": 6,
    "instance_weights": 4,
    "mnist_autoencoders": 5,
    "stl10_pruning": 5,
}
EXAMPLE = "EXAMPLE, invented numbers"
PRINTED = {
    # Friedman's statistics of the paper's Figure 2, then those of the example.
    "critical_difference": ("chi-square 15.60", "chi-square 13.08", f"{EXAMPLE}: 64 rows", "Against RotNet"),
    "instance_weights": ("sure that its weight w ~ Beta(a, b) is below 0.25",),
    "mnist_autoencoders": ("mnist: Oracle < BDW < DW < VAE here, Oracle < BDW < DW < VAE in the paper",),
    "stl10_pruning": ("settings compared: 20;", "With 6 domains and 3 methods"),
}

# Warnings would be printed to the reader. A picture's texts are kept beside its pixels, for the tests to read.
PRELUDE = """
import warnings
from IPython.display import display as _display
from matplotlib.figure import Figure as _Figure
from matplotlib.text import Text as _Text

warnings.simplefilter("error")
warnings.simplefilter("ignore", PendingDeprecationWarning)  # the kernel's own, when it ends
_savefig = _Figure.savefig


def _savefig_and_tell(figure, *arguments, **options):
    _savefig(figure, *arguments, **options)
    _display({"text/x-texts": " | ".join(text.get_text() for text in figure.findobj(_Text))}, raw=True)


_Figure.savefig = _savefig_and_tell
"""


@dataclass(frozen=True)
class Outputs:
    """What a notebook showed."""

    printed: str
    tables: str
    """Markdown."""
    pictures: tuple[str, ...]
    """The texts in each picture."""
    num_pictures: int

    @classmethod
    def of(cls, notebook: nbformat.NotebookNode) -> "Outputs":
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        data = [output.get("data", {}) for output in outputs]
        return cls(
            printed="".join(output["text"] for output in outputs if output["output_type"] == "stream"),
            tables="\n".join(kinds["text/markdown"] for kinds in data if "text/markdown" in kinds),
            pictures=tuple(kinds["text/x-texts"] for kinds in data if "text/x-texts" in kinds),
            num_pictures=sum("image/png" in kinds for kinds in data),
        )


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def executed(name: str, where: Path, monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """Run the notebook in `where`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # The kernel keeps its history and settings here, not in the home of whoever runs the tests.
    monkeypatch.setenv("IPYTHONDIR", str(where / ".ipython"))
    notebook = read(name)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PRELUDE))
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(where)}}).execute()
    outputs = Outputs.of(notebook)
    assert len(outputs.pictures) == outputs.num_pictures
    assert "Warning" not in outputs.printed
    return outputs


def result_rows(methods: Sequence[str], domains: Sequence[str], metric: str, **more: Any) -> list[dict[str, Any]]:
    """Rows of a long results table: one seed, all values different."""
    return [
        {"method": method, "domain": domain, "seed": 0, "metric": metric, "value": 0.5 + 0.01 * i}
        | {"higher_is_better": metric == "accuracy", "wall_seconds": 9.0 + i, "instances_seen": 1000 + i}
        | {"kept_fraction": 1.0, "run": f"runs/{method}-{domain}", **more}
        for i, (method, domain) in enumerate(product(methods, domains))
    ]


def write_config(run: Path, *, source: str | None = None, content_key: str = "", **settings: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    described = {"config": {"weighter": "beta", "prune": True, **settings}}
    if source is not None:
        described["source"] = {"path": source, "content_key": content_key}
    (run / "config.json").write_text(json.dumps(described), encoding="utf-8")


def write_weights(run: Path, packed: Path, kinds: Sequence[str], planted: Sequence[int]) -> str:
    """A packed source of random images and a run's weights of them; returns the content key of the source."""
    n = len(kinds)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    source = pack_arrays(packed, images, planted=np.array(planted, dtype=np.int8), kinds=kinds)
    a, b = generator.uniform(0.2, 5, (2, n))
    mask = KeepMask(n, 1)
    mask.prune(beta.cdf(0.1, a, b) > 0.5, a / (a + b), 2)
    run.mkdir(parents=True, exist_ok=True)
    table = WeightTable(a=a, b=b, mean=a / (a + b), variance=np.ones(n))
    write_table(run / "instance_weights.parquet", weights_table(source, table, mask))
    return source.content_key


def test_all_notebooks_are_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NUM_PICTURES)


@pytest.mark.parametrize("name", NUM_PICTURES)
def test_runs_from_top_to_bottom_on_invented_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = executed(name, tmp_path, monkeypatch)
    assert outputs.num_pictures == NUM_PICTURES[name]
    assert outputs.printed.count(EXAMPLE) >= 1
    assert all(phrase in outputs.printed for phrase in PRINTED[name])
    invented = list(outputs.pictures)
    if name == "critical_difference":
        papers = invented.pop(0)
        assert "CD = 1.48" in papers
        assert EXAMPLE not in papers
    assert all(EXAMPLE in texts for texts in invented)
    assert outputs.tables.count("**EXAMPLE, invented numbers.**") == outputs.tables.count("|---|")
    # All that can be shown is shown: nothing is refused.
    assert not [line for line in outputs.printed.splitlines() if line.startswith("No ") and ": " in line]


@pytest.mark.long
def test_critical_difference_of_a_results_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = result_rows(["RotNet", "BDW eta=1", "BDW eta=10"], ["one"], "accuracy")
    write_results(tmp_path / "results.parquet", rows)
    outputs = executed("critical_difference", tmp_path, monkeypatch)
    assert "results.parquet: 3 rows" in outputs.printed
    for what in ("critical-difference diagram", "control diagram", "effect sizes", "pool sensitivity"):
        assert f"No {what}: domains: 1 (one); allowed: at least 2" in outputs.printed
    assert outputs.num_pictures == 2
    assert EXAMPLE not in "".join(outputs.pictures)


@pytest.mark.long
def test_stl10_pruning_of_a_sweeps_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = tmp_path / "runs" / "sweeps" / "stl10_pruning-digits"
    trials = []
    for number, (eta, rho, cdf) in enumerate(product((10.0, 1.0), (0.5, 0.9), (0.1, 0.25))):
        run = sweep / "runs" / f"bdw-{number}"
        write_config(run, weight_lr=eta, density_threshold=rho, cdf_threshold=cdf)
        (run / "metrics.csv").write_text(f"epoch,loss,kept_fraction\n1,2.0,1.0\n2,1.0,0.{number}5\n", encoding="utf-8")
        state = {6: "pruned", 7: "failed"}.get(number, "complete")
        score = 0.7 + 0.02 * number if state == "complete" else None
        trial = {"trial": str(number), "state": state, "method": "BDW", "domain": "digits", "seed": 0}
        trial |= {"weight_lr": eta, "density_threshold": rho, "cdf_threshold": cdf, "validation_score": score}
        trial |= {"wall_seconds": 60.0 + number, "instances_seen": 1000 - number, "kept_fraction": 0.5, "value": score}
        trials.append({**trial, "test_score": score, "measure": "accuracy", "run": f"runs/{run.name}", "reason": None})
    plain = {"trial": "comparison-0", "state": "complete", "method": "RotNet", "domain": "digits", "seed": 0}
    plain |= {"validation_score": 0.6, "wall_seconds": 9.0, "instances_seen": 1000, "kept_fraction": 1.0}
    trials.append({**plain, "test_score": 0.655, "measure": "accuracy", "value": 0.6, "run": "runs/rotation"})
    write_trials(sweep / "trials.csv", trials)
    rows = result_rows(["RotNet", "BDW, paper's cell"], ["digits"], "accuracy")
    rows += result_rows(["RotNet", "BDW, paper's cell"], ["digits"], "validation_accuracy", higher_is_better=True)
    write_results(sweep / "results.parquet", rows)
    settings = {"settings": {"encoder": "small_cnn", "epochs": 35}}
    (sweep / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    outputs = executed("stl10_pruning", tmp_path, monkeypatch)
    assert "stl10_pruning-digits: 9 trials (7 complete, 1 pruned, 1 failed)" in outputs.printed
    assert "| RotNet | – | – | – | 65.5 | 100.0 | **9.0** |" in outputs.tables
    assert "| BDW | 1 | 0.5 | 0.25 | **80.0** | 50.0 | 65.0 |" in outputs.tables
    assert "| BDW | 1 | 0.9 | 0.1 | – | – | – |" in outputs.tables
    assert "| digits | 50.0 | **51.0** |" in outputs.tables
    assert "No importance: trials: 6 different settings in 6 complete trials; allowed: at least 8" in outputs.printed
    assert "No comparison over domains: domains: 1 (digits); allowed: at least 2" in outputs.printed
    assert len(outputs.pictures) == 3
    assert "beta, eta 10, rho 0.9, lambda 0.25" in outputs.pictures[0]
    assert all("stl10_pruning-digits" in texts and EXAMPLE not in texts for texts in outputs.pictures)


@pytest.mark.long
def test_mnist_autoencoders_of_a_sweeps_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = tmp_path / "runs" / "sweeps" / "mnist_autoencoders"
    targets = ["mnist", "kmnist"]
    kinds = ["mnist", "fashion-mnist", "kmnist"] * 40
    for target in targets:
        run = sweep / "runs" / f"BDW-{target}"
        write_config(run, cdf_threshold=0.1, density_threshold=0.5)
        write_weights(run, tmp_path / "packed" / target, kinds, [int(kind == target) for kind in kinds])
    write_results(sweep / "results.parquet", result_rows(["VAE", "BDW"], targets, "pretext_loss"))

    outputs = executed("mnist_autoencoders", tmp_path, monkeypatch)
    assert "mnist_autoencoders: VAE, BDW on mnist, kmnist; seeds: 1" in outputs.printed
    assert "| VAE | **0.5000** | **0.5100** |" in outputs.tables
    assert "kmnist: VAE < BDW here, BDW < VAE in the paper" in outputs.printed
    assert len(outputs.pictures) == 4
    assert "pruned above: P(w < 0.1) > 0.5" in outputs.pictures[1]
    assert "mnist_autoencoders, target kmnist" in outputs.pictures[2]
    weights = pd.read_parquet(sweep / "runs" / "BDW-kmnist" / "instance_weights.parquet")
    share = weights.loc[weights["kind"] == "fashion-mnist", "kept"].mean()
    assert 0 < share < 1
    assert f"{100 * share:.0f}" in outputs.pictures[3].split(" | ")


@pytest.mark.long
@pytest.mark.parametrize("is_packed_there", [True, False])
def test_instance_weights_of_a_runs_folder(
    is_packed_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, packed = tmp_path / "runs" / "default", tmp_path / "packed" / "photographs"
    key = write_weights(run, packed, ["useful", "noise"] * 50, [1, 0] * 50)
    # The source's path may be relative to the run.
    source = {"source": "../../packed/photographs", "content_key": key if is_packed_there else "another"}
    write_config(run, cdf_threshold=0.1, density_threshold=0.5, **source)
    (run / "metrics.csv").write_text("epoch,kept_fraction\n1,1.0\n2,0.9\n", encoding="utf-8")

    outputs = executed("instance_weights", tmp_path, monkeypatch)
    weights = pd.read_parquet(run / "instance_weights.parquet")
    num_pruned = int((~weights["kept"]).sum())
    assert 0 < num_pruned < 100
    assert f"default: weighter beta, 100 images, {100 - num_pruned} of them kept" in outputs.printed
    assert "more than 50% sure that its weight w ~ Beta(a, b) is below 0.1" in outputs.printed
    assert f"At the end {num_pruned} of 100 images are pruned." in outputs.printed
    assert "although they meet the rule" not in outputs.printed
    assert "noise (50)" in outputs.pictures[0]
    best = weights.loc[weights["mean"].idxmax()]
    if is_packed_there:
        assert len(outputs.pictures) == 4
        assert f"{best['index']}: {best['mean']:.2f}" in outputs.pictures[3].split(" | ")
    else:
        assert len(outputs.pictures) == 3
        assert "No pictures of the images" in outputs.printed
        assert "now holds other images than this run saw" in outputs.printed


@pytest.mark.parametrize("name", NUM_PICTURES)
def test_first_code_cell_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = read(name).cells
    assert cells[0].cell_type == "markdown"
    assert "To install: this repository" in cells[0].source.replace("\n", " ")
    assert cells[1].cell_type == "code"
    monkeypatch.setitem(sys.modules, "analysis", None)
    with pytest.raises(ImportError, match=r"^[^\n]*: run `%pip install [^\n]*$"):
        exec(cells[1].source, {})
    assert not any("!pip" in cell.source or cell.source.startswith("%pip") for cell in cells)


@pytest.mark.parametrize("name", NUM_PICTURES)
def test_committed_outputs_are_there_and_small(name: str) -> None:
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 150_000
    notebook = read(name)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any(output["output_type"] == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert Outputs.of(notebook).num_pictures == NUM_PICTURES[name]
    # The outputs are those of the sources beside them: every code cell was run, in order.
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
