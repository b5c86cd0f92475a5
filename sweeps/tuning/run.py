"""A search of one's own from its options to its page."""

from __future__ import annotations

import optuna
from rich.console import Console

from sweeps.runner.on_ray import on_ray
from sweeps.tuning.findings import front, say_findings, write_findings
from sweeps.tuning.options import Options, Request
from sweeps.tuning.own_search import OwnSearch, reference_scores, run_own_search

TITLE = "Search of settings"


def search(options: Options, console: Console) -> tuple[OwnSearch, optuna.Study]:
    """Run the search to its end and write everything; a search of the same name goes on.

    Raises `InputError` for what cannot work, and if no trial is complete.
    """
    options.check()
    found = OwnSearch.settle_request(options, Request.of(options))
    paths = found.paths
    with found.only_driver(console.print):
        study, comparison = found.open_search(), found.open_comparison()
        with on_ray(found, console) as workload:
            reference = reference_scores(found, comparison, workload, console)
            try:
                run_own_search(
                    found,
                    study,
                    workload,
                    console,
                    reference=reference,
                    write=lambda: write_findings(found, study, title=TITLE),
                    best=lambda: front(found, study),
                )
            finally:
                # A search that was broken off leaves what it found so far.
                report = write_findings(found, study, title=TITLE) if study.get_trials(deepcopy=False) else None
                paths.publish()
        say_findings(found, study, console)
        paths.publish(at_end=True)
    console.print(f"report: {report}", soft_wrap=True)
    return found, study
