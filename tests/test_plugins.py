"""Parts of other packages: the template of docs/plug-in-template, installed as users would and used by commands."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bdw import encoders, evaluation, plugins, pretext
from bdw.commands import doctor
from bdw.config import RunConfig, SelectorConfig
from bdw.data import readers
from bdw.errors import InputError
from bdw.weighting import selection

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "docs" / "plug-in-template"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the template's package, which is installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("plug-in")
    shutil.copytree(TEMPLATE, folder / "package", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "target"), str(folder / "package")], check=True)
    return os.environ | {"PYTHONPATH": f"{folder / 'target'}{os.pathsep}{ROOT}"}


def _python(environment: dict[str, str], words: str, *more: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words.split(), *more]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def test_names_are_known_before_anything_is_imported(installed: dict[str, str]) -> None:
    done = _python(
        installed,
        "-c",
        "import sys\n"
        "from bdw import plugins\n"
        "print(*(name for group in plugins.GROUPS for name in plugins.names(group)))\n"
        "assert not {'bdw_template', 'torch'} & set(sys.modules)\n",
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["mirrored", "two_convolutions", "brightness", "csv", "class_separation"]


def test_a_run_with_a_part_of_each_kind(installed: dict[str, str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        label = ("dark", "light")[i % 2]
        pixels = rng.integers(0, 128, (20, 20, 3)) + 127 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append((f"{i}.png", label))
    for name, some in {"pool.csv": rows[:40], "labelled.csv": rows[40:]}.items():
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *some])
    done = _python(
        installed,
        "-m bdw fit --preset digits --source csv:pool.csv --target csv:labelled.csv --pretext mirrored "
        "--pretext.smoothing 0.1 --encoder two_convolutions --selector brightness --selected-share 0.5 "
        "--evaluation.measure class_separation --epochs 1 --batch-size 10 --device cpu --ways 2 --shots 1 "
        "--queries 1 --run-dir run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    results = pd.read_parquet(tmp_path / "run" / "results.parquet")
    values = results.set_index("metric")["value"]
    assert values["class_separation"] > 0
    assert values["validation_class_separation"] > 0
    weights = pd.read_parquet(tmp_path / "run" / "instance_weights.parquet")
    assert weights["name"].tolist() == [name for name, _ in rows[:40]]
    assert weights["kept"].sum() == 20
    assert (tmp_path / "run" / "report.html").is_file()
    doctors = _python(installed, "-c", "from bdw.commands import doctor\nprint(doctor.check_plug_ins())")
    assert doctors.stdout.count("bdw-template 0.1.0") == 5


def test_an_option_is_checked_before_any_compute(installed: dict[str, str]) -> None:
    done = _python(installed, "-m bdw fit --pretext mirrored --pretext.smoothing 2")
    assert done.returncode == 2
    assert done.stderr == "error: pretext.smoothing: 2.0 cannot work; allowed: 0 or more, below 1\n"


def test_a_name_that_is_nearly_a_plug_ins_is_told_so(installed: dict[str, str]) -> None:
    done = _python(installed, "-m bdw fit --encoder two_convolution")
    assert done.returncode == 2
    assert "encoder: 'two_convolution' is not known (did you mean 'two_convolutions'?); allowed: " in done.stderr


@pytest.mark.long
def test_the_conformance_suites_run_over_it(installed: dict[str, str]) -> None:
    suites = (
        "-m pytest -q -p no:cacheprovider tests/pretext/test_conformance.py tests/encoders/test_encoders.py "
        "tests/weighting/selection/test_choosing.py"
    )
    done = _python(installed, suites, "-k", "mirrored or two_convolutions or brightness")
    assert done.returncode == 0, done.stdout
    for name in ("mirrored", "two_convolutions", "brightness"):
        assert _python(installed, suites, "--collect-only", "-k", name).stdout.count(name) > 1


def test_class_separation_is_that_of_a_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TEMPLATE)
    from bdw_template.class_separation import separation  # type: ignore[import-not-found]

    features = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [12.0, 0.0]], dtype=np.float32)
    # Means 1 and 11, of variance 25; the variance within each class is 1.
    assert separation(features, np.array([0, 0, 1, 1])) == 25.0
    assert separation(features, np.array([0, 1, 1, 0])) == pytest.approx(0.0)


Registered = Callable[..., None]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Registered:
    """Lets a name of a group have these entry points."""

    def register(group: str, name: str, *values: str) -> None:
        points = tuple(metadata.EntryPoint(name, value, group) for value in values)
        monkeypatch.setattr(plugins, "entries", lambda asked: {name: points} if asked == group else {})

    return register


def _uses(name: str) -> dict[str, tuple[str, Callable[[], object]]]:
    """What uses a name, by group, and the field that its errors begin with."""
    return {
        "bdw.pretext": ("pretext", lambda: pretext.task_class(name)),
        "bdw.encoders": ("encoder", lambda: encoders.build(name, 1, 16)),
        "bdw.selectors": ("selector", lambda: selection.chooser(SelectorConfig(selector=name, selected_count=3))),
        "bdw.readers": ("reader", lambda: readers.resolve(name, option="source", image_size=8)),
        "bdw.measures": ("monitors", lambda: evaluation.measure(name, "monitors")),
    }


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_what_cannot_be_imported_is_one_line(registered: Registered, group: str) -> None:
    registered(group, "broken", "bdw.no_such_module:Part")
    field, use = _uses("broken")[group]
    with pytest.raises(
        InputError, match=rf"^{field}: 'broken' .*cannot be imported \(ModuleNotFoundError: .*$"
    ) as found:
        use()
    assert "\n" not in str(found.value)
    (finding,) = doctor.check_plug_ins()
    assert finding.level is doctor.Level.WARNING
    assert finding.name == f"{group} broken"


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_what_is_of_another_kind_is_refused(registered: Registered, group: str) -> None:
    registered(group, "number", "math:pi")
    field, use = _uses("number")[group]
    with pytest.raises(InputError, match=rf"^{field}: 'number' \(math:pi of .*\) is not .*; allowed: "):
        use()


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_two_packages_with_one_name_are_refused(registered: Registered, group: str) -> None:
    registered(group, "twice", "math:pi", "math:e")
    field, use = _uses("twice")[group]
    with pytest.raises(InputError, match=rf"^{field}: 'twice' is a name in .*; allowed: a name of one package"):
        use()


def test_built_in_names_mean_the_built_in_part(registered: Registered) -> None:
    registered("bdw.pretext", "rotation", "math:pi")
    assert pretext.task_class("rotation").__name__ == "Rotation"
    registered("bdw.measures", "rankme", "math:pi")
    assert evaluation.measure("rankme").label == "RankMe"
    registered("bdw.readers", "digits", "math:pi")
    assert readers.resolve("digits", option="source", image_size=8)[0].name == "digits"
    registered("bdw.encoders", "mlp", "math:pi")
    assert encoders.build("mlp", 1, 8).feature_dim == 100
    registered("bdw.selectors", "random", "math:pi")
    config = SelectorConfig(selector="random", selected_count=3)
    assert type(selection.chooser(config)).__name__ == "RandomImages"


def test_names_of_plug_ins_are_among_the_allowed_ones(registered: Registered) -> None:
    registered("bdw.encoders", "two_convolutions", "math:pi")
    with pytest.raises(InputError, match="did you mean 'two_convolutions'"):
        encoders.check_name("two_convolution")


def test_a_task_whose_options_are_no_dataclass_is_refused(registered: Registered) -> None:
    registered("bdw.pretext", "odd", "tests.test_plugins:Odd")
    with pytest.raises(InputError, match=r"pretext: 'odd' .* is not a pretext task whose Options are a dataclass"):
        RunConfig().replace(pretext="odd")


class Odd:
    """Not a pretext task."""

    Options = 3
