"""Who may import whom, read off the files: rooms only downwards, no circles, heavy libraries only at the edges."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUR_PACKAGES = {"bdw", "analysis", "sweeps", "benchmarks", "tests"}

# Top to bottom. A room is a folder of bdw, or a file beside the folders. A module imports from its own room and from
# rooms on lines below; rooms on the same line do not know each other.
LAYERS = [
    {"__main__"},
    {"cli", "meta_gradient", "weighters"},
    {"commands"},
    {"ray", "report"},
    {"training"},
    {"diagnostics", "scoring"},
    {"weighting", "evaluation", "runs"},
    {"pretext"},
    {"encoders", "data"},
    {"config"},
    {"parallel", "storage"},
    {"plugins"},
    {"errors"},
]
ROOMS = set().union(*LAYERS)
SWEEP_ROOMS = ["study", "runner", "results", "tuning"]
"""Folders of sweeps that build on one another, from the lowest; the entries and `jobs` know what they need."""
AT_THE_TOP = 6
"""Python files beside the rooms, at most."""

# Libraries that the core does without, and where each is allowed: files, or whole folders.
EDGES: Mapping[str, tuple[str, ...]] = {
    "ray": ("ray/",),
    "optuna": (),
    "pandas": ("training/fit.py", "report/"),
    "matplotlib": ("report/", "data/readers/glyphs/"),
    "jinja2": ("report/",),
    "pyarrow": (
        "data/readers/arrow_files.py", "data/readers/image_columns.py", "data/weights_file.py",
        "storage/remote_folder.py", "runs/backup_files.py", "runs/export.py", "training/fit.py",
        "scoring/score_parts.py", "scoring/clusters.py", "report/", "ray/", "commands/",
    ),
    "rich": ("runs/console.py", "data/progress.py"),
    "tyro": ("cli.py", "commands/flags.py", "commands/options.py"),
    "safetensors": ("encoders/given_weights.py", "storage/tensor_file.py"),
    "timm": ("encoders/timm_library.py",),
}  # fmt: skip


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


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports; `from bdw.data import splits` counts as `bdw.data.splits`."""
    found: set[str] = set()
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def file_of(name: str) -> Path | None:
    """The file of ours that a dotted name leads to, if only by what it defines; a folder's is its `__init__`."""
    parts = name.split(".")
    if parts[0] not in OUR_PACKAGES:
        return None
    for end in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:end])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    raise AssertionError(f"{name} leads nowhere")


def imported_files(path: Path) -> set[Path]:
    return {found for name in imports(path) if (found := file_of(name)) is not None}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "bdw").parts[0].removesuffix(".py")


def line_of(path: Path) -> int:
    """From the top."""
    return next(number for number, line in enumerate(LAYERS) if room_of(path) in line)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_allowed(path: Path, imported: Path) -> bool:
    return room_of(imported) == room_of(path) or line_of(imported) > line_of(path)


BDW_MODULES = [path for path in modules_of("bdw") if path != ROOT / "bdw" / "__init__.py"]


def test_every_room_has_its_line_and_every_line_its_rooms() -> None:
    assert {room_of(path) for path in BDW_MODULES} == ROOMS
    assert sum(len(line) for line in LAYERS) == len(ROOMS)


def test_the_design_page_shows_the_lines() -> None:
    _, _, rest = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("do not know each other:\n\n")
    shown = [set(line.strip().split(", ")) for line in rest.partition("\n\n")[0].splitlines()]
    folders = {path.parent.name for path in (ROOT / "bdw").glob("*/__init__.py")}
    assert shown == [line & folders for line in LAYERS if line & folders]


def test_few_files_lie_beside_the_rooms() -> None:
    files = sorted((ROOT / "bdw").glob("*.py"))
    assert len(files) <= AT_THE_TOP + 1, [path.name for path in files]


@pytest.mark.parametrize("path", BDW_MODULES, ids=relative)
def test_rooms_import_only_downwards(path: Path) -> None:
    for name in sorted(imports(path)):
        package = name.split(".")[0]
        assert package not in OUR_PACKAGES - {"bdw"}, f"{relative(path)} imports {name}"
        if package == "bdw":
            imported = file_of(name)
            assert imported is not None
            assert imported != ROOT / "bdw" / "__init__.py", f"import {name} from its module, not from the package"
            assert imported != path, f"{relative(path)} imports itself"
            assert is_allowed(path, imported), f"{relative(path)} imports {name}, which is not below it"


@pytest.mark.parametrize("room", SWEEP_ROOMS)
def test_folders_of_sweeps_know_only_those_that_they_build_on(room: str) -> None:
    higher = {*SWEEP_ROOMS[SWEEP_ROOMS.index(room) + 1 :], "jobs"}
    for path in (ROOT / "sweeps" / room).glob("*.py"):
        known = {found.parent.name for found in imported_files(path) if found.is_relative_to(ROOT / "sweeps")}
        assert not known & higher, f"{relative(path)} imports from {sorted(known & higher)}"


def test_the_trainer_is_known_to_those_who_start_a_run() -> None:
    """What others need of a run is its state, or plain values."""
    trainer = ROOT / "bdw" / "training" / "trainer.py"
    users = {relative(path) for path in BDW_MODULES if trainer in imported_files(path)}
    assert {user for user in users if not user.startswith(("bdw/ray/", "bdw/commands/"))} == set()


def circles(graph: Mapping[Path, set[Path]]) -> list[set[Path]]:
    """The strongly connected components of more than one file (Tarjan, SIAM Journal on Computing 1972)."""
    number: dict[Path, int] = {}
    lowest: dict[Path, int] = {}
    open_files: list[Path] = []
    found: list[set[Path]] = []

    def visit(path: Path) -> None:
        number[path] = lowest[path] = len(number)
        open_files.append(path)
        for imported in graph[path]:
            if imported not in number:
                visit(imported)
                lowest[path] = min(lowest[path], lowest[imported])
            elif imported in open_files:
                lowest[path] = min(lowest[path], number[imported])
        if lowest[path] == number[path]:
            start = open_files.index(path)
            if len(open_files) - start > 1:
                found.append(set(open_files[start:]))
            del open_files[start:]

    for path in graph:
        if path not in number:
            visit(path)
    return found


def test_circles_are_found() -> None:
    a, b, c, d = (Path(name) for name in "abcd")
    assert circles({a: {b}, b: {c}, c: {b, d}, d: set()}) == [{b, c}]
    assert circles({a: {b, c}, b: {d}, c: {d}, d: set()}) == []


@pytest.mark.parametrize("package", ["bdw", "sweeps"])
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    files = set(modules_of(package))
    found = circles({path: imported_files(path) & files for path in files})
    assert sorted(sorted(relative(path) for path in circle) for circle in found) == []


@pytest.mark.parametrize("library", EDGES)
def test_heavy_libraries_stay_at_the_edges(library: str) -> None:
    users = {path.relative_to(ROOT / "bdw").as_posix() for path in BDW_MODULES if library in packages(path)}
    assert {user for user in users if not user.startswith(EDGES[library])} == set()


def test_the_package_itself_does_no_work() -> None:
    path = ROOT / "bdw" / "__init__.py"
    ours = {name for name in imports(path) if name.split(".")[0] not in sys.stdlib_module_names}
    assert {found and relative(found) for found in map(file_of, ours)} == {"bdw/config/__init__.py", "bdw/errors.py"}


@pytest.mark.parametrize("path", modules_of("analysis"), ids=relative)
def test_analysis_knows_files_only(path: Path) -> None:
    assert packages(path) & ((OUR_PACKAGES - {"analysis"}) | {"torch", "torchvision", "ray", "optuna"}) == set()


@pytest.mark.parametrize("path", modules_of("sweeps"), ids=relative)
def test_sweeps_import_no_tests_or_benchmarks(path: Path) -> None:
    assert packages(path) & {"tests", "benchmarks"} == set()


@pytest.mark.parametrize("path", [*modules_of("benchmarks"), *modules_of("tests")], ids=relative)
def test_nothing_needs_a_study(path: Path) -> None:
    """But other studies, and their own tests."""
    if path in modules_of("benchmarks/studies"):
        return
    of_studies = sorted(name for name in imports(path) if name.startswith("benchmarks.studies"))
    is_own_test = path.parent == ROOT / "tests" / "benchmarks"
    assert not of_studies or is_own_test, f"{relative(path)} imports {of_studies}"
