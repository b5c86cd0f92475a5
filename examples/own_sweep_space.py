"""Search settings of your own with Ray Tune, and look at what came of it: `python examples/own_sweep_space.py FOLDER`.

It takes the embedded pool, so that it runs anywhere. For images of your own give `source` and `target`.
"""

import sys

from ray import tune

import sweeps


def search(folder: str, **options: object) -> sweeps.ResultGrid:
    """Two searched fields, two objectives, a handful of short trials."""
    return sweeps.tune(
        {
            # Any field of a run's config, by its name or its dotted path.
            "weight_lr": tune.loguniform(1, 10),
            "weighter.cdf_threshold": tune.uniform(0.3, 0.45),
            # A plain value is fixed for all trials.
            "epochs": 1,
            "max_source": 512,
        },
        # source="photos", target="labelled",
        objective=["accuracy", "seconds:min"],
        sampler="tpe:n_startup_trials=3",
        num_samples=4,
        storage_path=folder,
        name="example",
        **options,
    )


def main(folder: str) -> None:
    """Search, or go on with a search of that name in the folder."""
    grid = search(folder)
    print(f"{len(grid)} trials, {grid.num_errors} of them failed")
    for result in grid:
        print(result.metrics["trial_id"], result.metrics["state"], result.config)

    best = grid.get_best_result("accuracy", "max")
    print(f"best validation accuracy {best.metrics['accuracy']:.3f}, on the test split", end=" ")
    print(f"{best.metrics['test_accuracy']:.3f}; encoder and weights are in {best.path}")

    print("no trial is both better and faster than one of these:")
    for result in grid.get_best_results():
        print(f"{result.metrics['accuracy']:.3f} in {result.metrics['seconds']:.1f} s with {result.config}")

    table = grid.get_dataframe()
    print(table[["trial", "validation_score", "wall_seconds", "kept_fraction"]].to_string(index=False))
    print("Optuna's front:", [trial.number for trial in grid.study.best_trials])


if __name__ == "__main__":
    main(sys.argv[1])
