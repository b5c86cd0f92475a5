"""What a fresh clone relies on: the Makefile's targets, pins, licence, what is installed, basic flags that appear by no
accident."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from bdw.commands import doctor
from bdw.commands.flags import fields_with_flags
from bdw.config import RunConfig
from bdw.config.fields import Mark
from bdw.runs.directory import versions

ROOT = Path(__file__).resolve().parents[1]
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".cff", ".yaml", ".yml", ".html", ".css", ".csv", ".ipynb", ".json", ""}
# Somebody's home or a tool's own folder; `/tmp` and `/dev/shm` are the same everywhere.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+|mnt/\w+|data/\w+|tmp/w)/")
INTERNET_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert match, requirement
    return normalised(match[0])


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def tracked_files() -> list[Path]:
    """All files that git has or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: cannot tell the repository's files from others")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_direct_dependency_and_tool_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {requirement_name(requirement) for requirement in wanted} - set(pins()) == set()


def test_constraints_are_plain_pins() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line
    assert not INTERNET_ADDRESS.search((ROOT / "constraints.txt").read_text())


def test_dependencies_come_from_no_particular_host() -> None:
    for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".pre-commit-config.yaml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|trusted-host|https?://|--hash|\bfile:", text), name


@pytest.mark.parametrize(
    "target",
    [
        "setup",
        "setup-dev",
        "sweep",
        "up",
        "down",
        "test",
        "test-rest",
        "test-all",
        "lint",
        "format",
        "docs",
        "bench",
        "help",
    ],
)
def test_makefile_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:.*## \w", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_help_lists_the_targets() -> None:
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    assert "make sweep" in listed
    assert "prints where the report lies" in listed


# Stands in for Python and pip: notes how it is called, and says what is installed.
STAND_IN = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip list "*) printf "$INSTALLED" ;;
esac
"""


def make_setup(folder: Path, target: str, installed: str) -> tuple[list[str], list[str]]:
    """What pip is asked to install by a target of the Makefile, and the pins that it is given."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    environment = os.environ | {"CALLS": str(folder / "calls"), "INSTALLED": installed}
    command = ["make", "-C", str(folder), target, f"PYTHON={python}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    installs = [call for call in (folder / "calls").read_text().splitlines() if call.startswith("-m pip install --con")]
    return installs, (folder / ".venv" / "constraints.txt").read_text().splitlines()


def test_setup_installs_no_development_tools(tmp_path: Path) -> None:
    installs, given = make_setup(tmp_path, "setup", "numpy==1.0\ntorch==2.7.0\n")
    assert installs == ["-m pip install --constraint .venv/constraints.txt --editable ."]
    assert given == (ROOT / "constraints.txt").read_text().splitlines()


def test_setup_for_developers_adds_them(tmp_path: Path) -> None:
    installs, _ = make_setup(tmp_path, "setup-dev", "")
    assert installs[1:] == ["-m pip install --constraint .venv/constraints.txt --group dev"]


def test_setup_keeps_a_pytorch_that_was_chosen_by_hand(tmp_path: Path) -> None:
    _, given = make_setup(tmp_path, "setup", "torch==2.7.0+cpu\ntorchmetrics==1.0+x\ntorchvision==0.22.0+cpu\n")
    assert given[:2] == ["torch==2.7.0+cpu", "torchvision==0.22.0+cpu"]
    others = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("torch")]
    assert given[2:] == others


def test_setup_refuses_two_builds_of_pytorch_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="install torch and torchvision from the same index"):
        make_setup(tmp_path, "setup", "torch==2.7.0+cpu\ntorchvision==0.22.0\n")


def test_continuous_integration_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True)


def test_licence_is_the_one_that_the_package_names() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    assert "license: Apache-2.0" in (ROOT / "CITATION.cff").read_text()


def test_name_and_version_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation
    assert f'\ntitle: "{project["name"]} (bdw)"\n' in citation


def test_the_installed_package_is_found_by_its_name() -> None:
    """Its name on an index differs from what one imports, and no type checker sees who asks for the wrong one."""
    assert versions()["bdw"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = {finding.name: finding.value for finding in doctor.check_versions()}
    assert "bdw" not in found
    assert "tyro" in found


def test_no_file_names_somebodys_machine() -> None:
    found = []
    for path in tracked_files():
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__):
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [
                f"{path.relative_to(ROOT)}:{i}: {line}" for i, line in enumerate(lines, 1) if MACHINE_PATH.search(line)
            ]
    assert found == []


def test_no_file_is_large() -> None:
    """Beyond 1 MiB a file is data, which does not belong here, or an embedded picture too large for a README."""
    assert [str(path) for path in tracked_files() if path.stat().st_size > 2**20] == []


# What is installed


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, where no variable leads Python to this repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `bdw` with all the repository's files: building leaves files, and tests leave none in the repository."""
    folder = tmp_path_factory.mktemp("beside") / "bdw"
    for path in tracked_files():
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--wheel-dir", folder, clone, cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def editable_wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip makes and installs for `pip install --editable`."""
    folder = tmp_path_factory.mktemp("editable")
    run(
        *(sys.executable, "-c", "import sys, setuptools.build_meta as b; b.build_editable(sys.argv[1])", folder),
        cwd=clone,
    )
    (built,) = folder.iterdir()
    return built


@pytest.mark.long
def test_the_wheel_has_all_files_of_the_packages_and_no_others(clone: Path, wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = ("bdw", "analysis", "sweeps")
    files = {str(path.relative_to(ROOT)) for path in tracked_files()}
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in files if name.startswith(tuple(f"{package}/" for package in packages))
    }
    assert {f"{package}/py.typed" for package in packages} <= set(names)
    assert {Path(name).suffix for name in names} >= {".py", ".html", ".css", ".ipynb", ".csv"}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["wheel", "editable_wheel"])
def test_beside_a_clone_the_package_is_imported_and_not_the_folder(
    kind: str, clone: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    built = request.getfixturevalue(kind)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built, cwd=tmp_path)
    # The dependencies are those of this environment. A line with a path brings in no other path files beside them, so
    # this environment's own way to the repository stays out.
    (site_packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    parent = clone.parent
    (parent / "script.py").write_text("import bdw\nprint(bdw.RunConfig.__module__, bdw.__file__)\n")
    home = clone if kind == "editable_wheel" else site_packages
    expected = f"bdw.config.run {home / 'bdw' / '__init__.py'}\n"
    assert run(python, "script.py", cwd=parent) == expected
    assert run(python, parent / "script.py", cwd=tmp_path) == expected
    assert run(python, "-c", (parent / "script.py").read_text(), cwd=parent) == expected
    assert run(python, "-m", "bdw", "--help", cwd=parent).startswith("usage: python -m bdw [-h] {fit,")
    assert run(python.with_name("bdw"), "--help", cwd=parent).startswith("usage: bdw [-h] {fit,")


BASIC_FLAGS = {
    "batch-size", "budget-images", "cdf-threshold", "density-threshold", "encoder", "epochs", "gpus-per-worker",
    "learning-rate", "meta-loss", "num-workers", "preset", "pretext", "queries", "resume", "run-dir", "seed", "shots",
    "selected-share", "selector", "source", "storage-path", "target", "ways", "weight-lr", "weighter",
}  # fmt: skip


def test_a_new_basic_flag_is_a_decision() -> None:
    """Few flags are shown to everybody: at most twenty-five."""
    basic = {field.name for field in fields_with_flags(RunConfig()) if Mark.BASIC in field.marks}
    assert {"preset", *(name.replace("_", "-") for name in basic)} == BASIC_FLAGS
    assert len(BASIC_FLAGS) <= 25


def flags_of_help(*arguments: str) -> set[str]:
    shown = subprocess.run([sys.executable, "-m", "bdw", "fit", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    return set(re.findall(r"^│ --([a-z][a-z.-]+)", shown.stdout, re.MULTILINE))


def test_help_shows_the_basic_flags() -> None:
    assert flags_of_help("--help") == BASIC_FLAGS


def test_help_all_shows_every_flag() -> None:
    shown = flags_of_help("--help-all")
    dotted = {field.path.replace("_", "-") for field in fields_with_flags(RunConfig())}
    basic = {field.path.replace("_", "-") for field in fields_with_flags(RunConfig()) if Mark.BASIC in field.marks}
    assert shown == (dotted - basic) | BASIC_FLAGS


def test_no_two_flags_have_one_name() -> None:
    names = [field.key for field in fields_with_flags(RunConfig())]
    assert len(names) == len(set(names))
