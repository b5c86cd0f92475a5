"""The benchmark of choices before training, in small."""

from __future__ import annotations

from benchmarks import selectors


def test_every_method_is_trained_on_its_choice() -> None:
    arguments = selectors.Arguments(
        scripts=("hebrew",), shares=(0.5,), selectors=("random", "prototypes, easy"), epochs=1, images=600
    )
    rows = {row["method"]: row for row in selectors.main(arguments)}
    assert list(rows) == [
        selectors.FEATURES, selectors.PLAIN, selectors.RECOMMENDED, selectors.ORACLE, "random", "prototypes, easy"
    ]  # fmt: skip
    assert rows["random"]["kept"] == rows["prototypes, easy"]["kept"] == 0.5
    assert rows[selectors.PLAIN]["letters"] == 0.1
    assert rows[selectors.ORACLE]["letters"] == 1
    assert rows["prototypes, easy"]["shared_images"] == 600
    assert rows["random"]["shared_images"] == 0
