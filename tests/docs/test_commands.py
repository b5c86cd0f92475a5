"""Every command that a page shows is one: ours are parsed by what would run them, others are known by name."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from analysis import cli as analysis_cli
from bdw import cli, config, plugins
from sweeps.jobs import submit
from sweeps.runner import command_line

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.rglob("docs/**/*.md"), *ROOT.glob("cluster/*.md"), *ROOT.glob("benchmarks/*.md")]
)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
FOREIGN = {
    "aws", "az", "bash", "cd", "cp", "docker", "export", "gcloud", "grep", "helm", "kubectl", "pip", "sbatch",
    "scancel", "sky", "tail", ".",
}  # fmt: skip
"""Programs that are not ours."""


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """The code between fences of these kinds, without the indentation of a list."""
    for indentation, kind, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind in kinds:
            yield re.sub(rf"^{indentation}", "", code, flags=re.MULTILINE)


def shown(page: Path) -> list[str]:
    """The commands in a page's console blocks, each on one line."""
    lines = [line for block in blocks(page, "console") for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def simple_commands(command: str) -> Iterator[list[str]]:
    """The words of each command in a line, without variables before it, redirections and what stands for more."""
    # What a substitution would put in is one word to us.
    plain = re.sub(r"\$\((?:[^()]|\([^()]*\))*\)", "WORD", command)
    words = shlex.split(plain, comments=True)
    while words:
        end = next((i for i, word in enumerate(words) if word in ("&&", "|", ";")), len(words))
        one, words = words[:end], words[end + 1 :]
        while one and re.fullmatch(r"\w+=.*", one[0]):
            one = one[1:]
        if ">" in one:
            one = one[: one.index(">")]
        if one:
            yield [word for word in one if word != "..."]


def check(words: list[str]) -> None:
    """Raises for a command of ours that cannot be parsed, and for a program that nobody knows."""
    program = Path(words[0]).name
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif program == "bdw":
        _check_module("bdw", words[1:])
    elif program in ("python", "torchrun") and "-m" in words:
        place = words.index("-m")
        _check_module(words[place + 1], words[place + 2 :])
    elif program == "python":
        _check_script(words[1], words[2:])
    elif program == "ray":
        if words[1:3] == ["job", "submit"]:
            start = next(i for i, word in enumerate(words) if word.startswith("sweeps/"))
            _check_script(words[start], words[start + 1 :])
        else:
            assert words[1] in ("up", "down", "exec", "attach", "dashboard", "get-auth-token", "start", "stop")
    else:
        assert program in FOREIGN or words[0] in FOREIGN, words


def _check_module(module: str, words: list[str]) -> None:
    if module == "bdw":
        if "--help" not in words:
            cli.parse(words)
    elif module == "analysis":
        # Parsed by the command itself, which then does not find the table.
        absent = ["absent.csv" if word.endswith((".csv", ".parquet")) else word for word in words]
        assert analysis_cli.main(absent) == 2
    elif module == "sweeps.jobs.submit":
        split = words.index("--") if "--" in words else len(words)
        options = command_line.parse(submit.Options, words[:split], prog="submit")
        submit.parse_script_options(submit.find_script(options.script), words[split + 1 :])
    elif module == "sweeps.jobs.cluster_file":
        assert (ROOT / words[0]).is_file()
    elif module == "pytest":
        assert all((ROOT / word).exists() for word in words if word.startswith("tests"))
    else:
        path = ROOT / module.replace(".", "/")
        assert module == "pip" or path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def _check_script(script: str, words: list[str]) -> None:
    assert (ROOT / script).is_file(), script
    if script.startswith("sweeps/"):
        submit.parse_script_options(script, words)


@pytest.fixture
def as_the_pages_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template's plug-ins, and the folders and files that commands name."""
    template = ROOT / "docs" / "plug-in-template"
    groups = tomllib.loads((template / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    points = {
        group: {name: (metadata.EntryPoint(name, value, group),) for name, value in own.items()}
        for group, own in groups.items()
    }
    monkeypatch.syspath_prepend(template)
    monkeypatch.setattr(plugins, "entries", points.__getitem__)
    # A plug-in's options are added when they are first asked for.
    monkeypatch.setattr(config.pretext, "_OPTIONS", dict(config.pretext._OPTIONS))
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "labelled/a", "labelled/b"):
        (tmp_path / folder).mkdir(parents=True)
    (space,) = (code for code in blocks(ROOT / "docs" / "sweeps.md", "toml") if "weight_lr" in code)
    (tmp_path / "space.toml").write_text(space, encoding="utf-8")


@pytest.mark.usefixtures("as_the_pages_have_it")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_console_block_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in shown(page):
        for words in simple_commands(command):
            check(words)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "usage" in line or "unrecognized" in line or "required" in line] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_program_compiles(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


def test_commands_are_taken_apart() -> None:
    line = "A=1 make setup && . .venv/bin/activate; python -m bdw fit ... > /dev/null   # a comment"
    assert list(simple_commands(line)) == [
        ["make", "setup"],
        [".", ".venv/bin/activate;", "python", "-m", "bdw", "fit"],
    ]
    assert list(simple_commands("ray start --head | tail")) == [["ray", "start", "--head"], ["tail"]]


@pytest.mark.parametrize(
    "command",
    [
        "python -m bdw fit --epoch 3",
        ".venv/bin/python sweeps/stl10_pruning.py --sample 3",
        "python -m sweeps.jobs.submit sweeps/no_sweep.py",
        "python -m sweeps.jobs.submit sweeps/search.py -- --no-such-option 3",
        "python -m benchmarks.no_such_benchmark",
        "make no-such-target",
        "python -m pytest tests/no_such_test.py",
        "no-such-program",
    ],
)
def test_what_is_no_command_is_found(command: str) -> None:
    (words,) = simple_commands(command)
    with pytest.raises((AssertionError, ValueError)):
        check(words)


def test_commands_are_found() -> None:
    assert len(shown(ROOT / "cluster" / "README.md")) > 20
    assert sum(len(shown(page)) for page in PAGES) > 100
    assert any(list(blocks(page, "python")) for page in PAGES)
