from __future__ import annotations

import shlex

from bdw.config import RunConfig
from bdw.report.command_line import fit_command


def test_defaults_need_no_options() -> None:
    assert fit_command(RunConfig().flat()) == "python -m bdw fit"


def test_changed_fields_become_options_that_a_shell_reads_back() -> None:
    config = RunConfig().replace(
        weight_lr=10.0, flip=True, prune=False, lr_milestones=(5, 8), source="my folder/it's", resume=True
    )
    words = shlex.split(fit_command(config.flat()))
    assert words[4:] == [
        "--source", "my folder/it's", "--flip", "--weight-lr", "10.0", "--no-prune", "--lr-milestones", "5", "8",
    ]  # fmt: skip


def test_options_of_other_versions_are_kept() -> None:
    assert fit_command({"new_option": 3}) == "python -m bdw fit --new-option 3"
