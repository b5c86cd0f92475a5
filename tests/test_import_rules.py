"""Who may import whom, read off the files: inside `bdw` only downwards, heavy libraries only at the edges."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUR_PACKAGES = {"bdw", "analysis", "sweeps", "benchmarks", "tests"}

# Bottom to top; a module imports only from lines above its own. A package is one line and may import itself.
LAYERS = [
    "errors", "config", "presets", "budget", "schedules",
    "atomic", "patience", "device", "allocator", "randomness", "collectives",
    "agreement", "interruptions", "watchdog", "measurements", "break_even", "weighting_clock", "usefulness", "signal",
    "evidence",
    "data", "encoders", "precision", "compilation", "image_table",
    "pretext", "replication", "meta_loss",
    "weights_file", "lazy_momentum", "weighters",
    "kept_outputs", "tangent_rules", "meta_gradient", "layer_tangents", "running_direction", "natural_direction",
    "random_functions", "composition", "shared_derivatives", "verdicts",
    "pruning",
    "train_step", "pilot", "epoch_training", "forecast", "diagnosis",
    "evaluation",
    "trajectory", "checkpoint", "mirror", "run_directory", "run_copy", "run_state", "export",
    "run_results",
    "time_budget", "pace",
    "trainer",
    "fitting",
    "replay",
    "headline",
    "progress",
    "ray",
    "report",
    "doctor",
    "commands",
    "cli",
    "__main__",
]  # fmt: skip

# Libraries that the core does without, and the edges that are allowed each.
EDGES = {
    "ray": {"ray"},
    "optuna": set(),
    "pandas": {"fitting", "report"},
    "matplotlib": {"report", "data"},
    "jinja2": {"report"},
    "pyarrow": {"weights_file", "export", "fitting", "report", "commands", "mirror", "ray"},
    "rich": {"progress", "data"},
    "tyro": {"cli"},
    "safetensors": {"export"},
}


def modules_of(package: str) -> list[Path]:
    return sorted(p for p in (ROOT / package).rglob("*.py") if not any(part.startswith(".") for part in p.parts))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, inside functions too, but for the blocks that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not is_type_checking(child):
            yield child
            yield from runtime_nodes(child)


def imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports; `from bdw import trainer` counts as `bdw.trainer`."""
    found: set[str] = set()
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if "." in node.module or node.module not in OUR_PACKAGES:
                found.add(node.module)
            else:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def layer_of(path: Path) -> str:
    first = path.relative_to(ROOT / "bdw").parts[0]
    return first.removesuffix(".py")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


BDW_MODULES = [path for path in modules_of("bdw") if path != ROOT / "bdw" / "__init__.py"]


def test_every_module_has_its_layer_and_every_layer_a_module() -> None:
    present = {layer_of(path) for path in BDW_MODULES}
    assert present - set(LAYERS) == set(), "give the new module its place in LAYERS"
    assert set(LAYERS) - present == set(), "LAYERS names a module that is gone"
    assert len(LAYERS) == len(set(LAYERS))


@pytest.mark.parametrize("path", BDW_MODULES, ids=relative)
def test_core_imports_only_downwards(path: Path) -> None:
    own = LAYERS.index(layer_of(path))
    for name in sorted(imports(path)):
        package, _, module = name.partition(".")
        assert package not in OUR_PACKAGES - {"bdw"}, f"{relative(path)} imports {name}"
        if package == "bdw":
            imported = module.split(".")[0]
            assert imported in LAYERS, f"{relative(path)} imports {name}: import from the module, not from the package"
            below = LAYERS.index(imported) <= own
            assert below, f"{relative(path)} imports {name}, which is above it or must be moved down in LAYERS"
            assert imported != layer_of(path) or path.parent != ROOT / "bdw", f"{relative(path)} imports itself"


@pytest.mark.parametrize("library", EDGES)
def test_heavy_libraries_stay_at_the_edges(library: str) -> None:
    users = {layer_of(path) for path in BDW_MODULES if any(name.split(".")[0] == library for name in imports(path))}
    assert users <= EDGES[library]


def test_the_package_itself_does_no_work() -> None:
    assert {
        name for name in imports(ROOT / "bdw" / "__init__.py") if name.split(".")[0] not in sys.stdlib_module_names
    } <= {
        "bdw.config",
        "bdw.errors",
    }


@pytest.mark.parametrize("path", modules_of("analysis"), ids=relative)
def test_analysis_knows_files_only(path: Path) -> None:
    forbidden = (OUR_PACKAGES - {"analysis"}) | {"torch", "torchvision", "ray", "optuna"}
    assert {name for name in imports(path) if name.split(".")[0] in forbidden} == set()


@pytest.mark.parametrize("path", [*modules_of("benchmarks"), *modules_of("tests")], ids=relative)
def test_nothing_needs_a_study(path: Path) -> None:
    """But other studies, and their own tests."""
    if path in modules_of("benchmarks/studies"):
        return
    of_studies = sorted(name for name in imports(path) if name.startswith("benchmarks.studies"))
    is_own_test = path.name.startswith("test_") and path.parent.name not in {"ray", "sweeps"}
    assert not of_studies or is_own_test, f"{relative(path)} imports {of_studies}"


@pytest.mark.parametrize("path", modules_of("sweeps"), ids=relative)
def test_sweeps_import_no_tests_or_benchmarks(path: Path) -> None:
    assert {name for name in imports(path) if name.split(".")[0] in {"tests", "benchmarks"}} == set()
