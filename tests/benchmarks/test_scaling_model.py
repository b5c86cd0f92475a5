"""The arithmetic of docs/scaling.md against sums made by hand, and the page against the arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import page_blocks, scaling, scaling_constants, scaling_model
from benchmarks.scaling_constants import Constants

RESULT = {
    "steps_in_step": 10,
    "local_batch": 50,
    "state_bytes": {"table": 20.0, "mask": 5.0},
    "made_bytes": {"checkpoint": 25.0, "parquet": 50.0, "handed_over": 40.0},
    "gradient_bytes": {"net": {"training_gradient": 1000, "meta_gradient": 600, "state": 1200}},
    "costs": [
        {"part": part, "instances": n, "seconds": n * seconds, "peak_bytes": n * peak}
        for part, seconds, peak in (
            ("exchange", 4e-8, 60.0), ("catch up", 1e-8, 70.0), ("CDF", 3e-8, 30.0), ("table", 1e-8, 50.0),
            ("digest", 2e-8, 8.0), ("order", 2e-8, 24.0), ("resume", 9e-8, 100.0),
            ("save", 5e-8, 0.0), ("step", 1e-6, 0.0),
        )
        for n in (1000, 2000)
    ],
}  # fmt: skip


@pytest.fixture
def constants() -> Constants:
    return Constants.of(RESULT)


def test_memory_is_state_order_and_the_largest_temporaries(constants: Constants) -> None:
    assert constants.end_of_epoch_bytes == pytest.approx(25 + 8 + 70)
    assert constants.resume_bytes == pytest.approx(25 + 100)
    assert scaling_model.largest_source(constants, 125e9) == pytest.approx(1e9)


def test_the_end_of_an_epoch_sums_its_parts_and_the_rows_of_the_others(constants: Constants) -> None:
    # 4 + 1 + 3 + 2 * 1 + 2 + 2 = 14 units of 1e-8 s; three quarters of 40 bytes at 1.25 GB/s are 2.4e-8 s.
    assert scaling_model.end_of_epoch_seconds(constants, 1e6, 4) == pytest.approx(1e6 * (14e-8 + 2.4e-8))
    assert scaling_model.end_of_epoch_seconds(constants, 1e6, 1) == pytest.approx(0.14)


def test_a_checkpoint_is_made_written_and_copied(constants: Constants) -> None:
    # 25 bytes at 125 MiB/s and at 1.25 GB/s (2e-8 s), after 5e-8 s of the processor.
    table = 1e6 * (7e-8 + 25 / 131_072_000)
    assert scaling_model.checkpoint_seconds(constants, 1e6) == pytest.approx(table)
    model = 1250 * (1 / 131_072_000 + 1 / 1.25e9)
    assert scaling_model.checkpoint_seconds(constants, 1e6, 1250) == pytest.approx(table + model)
    # After a notice, the exchange: 4e-8 s, and three quarters of 40 bytes at 1.25 GB/s.
    assert scaling_model.warned_seconds(constants, 1e6, 4) == pytest.approx(1e6 * 6.4e-8 + table)


def test_what_lies_between_epochs_shrinks_when_it_is_divided_or_sharded(constants: Constants) -> None:
    checkpoint = scaling_model.checkpoint_seconds(constants, 1e6)
    # Without three quarters of CDF and tables (5 units), with 9 bytes of three quarters: 0.54e-8 s.
    divided = 1e6 * (16.4e-8 - 3.75e-8 + 0.54e-8) + checkpoint
    assert scaling_model.divided_seconds(constants, 1e6, 4) == pytest.approx(divided)
    # All but the exchange, by four.
    assert scaling_model.sharded_seconds(constants, 1e6, 4) == pytest.approx((0.1 + checkpoint) / 4)
    alone = scaling_model.between_epochs_seconds(constants, 1e6, 1)
    assert scaling_model.divided_seconds(constants, 1e6, 1) == pytest.approx(alone)


def test_steps_take_the_gpu_the_weighter_and_two_all_reduces(constants: Constants) -> None:
    # The largest `step` is 2e-3 s for ten steps of 50: 4e-6 s each. 2,400 bytes at 12.5 GB/s for 128 instances.
    each = 1e-3 + 4e-6 + 2400 / 12.5e9 / 128
    assert scaling_model.steps_seconds(constants, 1e6, 4, 1000, "net") == pytest.approx(1e6 / 4 * each)


def test_the_rate_at_which_the_end_of_the_epoch_takes_its_share_does_not_depend_on_the_source(
    constants: Constants,
) -> None:
    for n in (1e6, 1e9):
        between = scaling_model.between_epochs_seconds(constants, n, 8)
        rate = scaling_model.fastest_training(between / n)
        assert between / (n / rate) == pytest.approx(0.05)


def test_a_step_sends_two_gradients_around_the_ring(constants: Constants) -> None:
    """Each worker of four sends three of the four quarters twice, of 1,000 and of 600 bytes."""
    assert scaling_model.step_bytes(constants, "net", 4) == pytest.approx(2 * 3 * 250 + 2 * 3 * 150)
    assert scaling_model.step_bytes(constants, "net", 1) == 0


def test_a_checkpoint_grows_with_the_source_the_model_and_the_workers(constants: Constants) -> None:
    """Another worker's generators are nine Mersenne twisters of 5,056 bytes each."""
    one, two = (scaling_model.checkpoint_bytes(constants, 1e6, "net", workers) for workers in (1, 2))
    assert two - one == 9 * 5056
    assert one == pytest.approx(25e6 + 2 * 1200 + 1000 + 9 * 5056)


def test_seconds_are_the_lowest_of_large_sources_and_bytes_those_of_the_largest() -> None:
    costs = [
        {"part": "CDF", "instances": n, "seconds": n * each, "peak_bytes": n * peak}
        for n, each, peak in ((1_000_000, 1e-9, 3.0), (10_000_000, 3e-9, 5.0), (30_000_000, 4e-9, 6.0))
    ]
    step = {"part": "step", "instances": 1, "seconds": 1e-6, "peak_bytes": 0}
    constants = Constants.of({**RESULT, "costs": [*costs, step]})
    assert constants.seconds["CDF"] == pytest.approx(3e-9)
    assert constants.peak["CDF"] == pytest.approx(6.0)
    assert constants.instances == 30_000_000


def test_the_page_shows_what_the_committed_result_says() -> None:
    _, rest = page_blocks.PAGE.read_text(encoding="utf-8").split(scaling_model.BEGIN)
    shown, _ = rest.split(scaling_model.END)
    assert shown.strip() == scaling_model.tables(scaling_constants.measured()), (
        "run `python -m benchmarks.scaling_model --save`"
    )


def test_the_page_names_every_assumption() -> None:
    values = [f"| {rate:,} instances/s |" for rate in scaling_model.RATES]
    values += [f"| {link / 1e9:g} GB/s |" for link in (scaling_model.MACHINE_LINK, scaling_model.SMALL_LINK)]
    values += [f"(gloo; storage) | {scaling_model.FLOW / 1e9:g} GB/s |", f"| {scaling_model.DISK >> 20} MiB/s |"]
    values += [f"| {scaling_model.BATCH} |", f"| {scaling_model.NOTICE} s |"]
    values += ["| " + " or ".join(f"{memory / 1e9:g}" for memory in scaling_model.MEMORIES) + " GB |"]
    page = page_blocks.PAGE.read_text(encoding="utf-8")
    assert [value for value in values if value not in page] == []


def test_the_committed_result_says_that_a_step_does_not_know_the_source() -> None:
    result = json.loads((scaling.RESULTS / "scaling-cpu.json").read_text(encoding="utf-8"))
    steps = {cost["instances"]: cost["seconds"] for cost in result["costs"] if cost["part"] == "step"}
    assert max(steps) >= 100 * min(steps)
    assert max(steps.values()) < 1.2 * min(steps.values())


def test_the_committed_result_is_of_the_tensors_that_are() -> None:
    result = json.loads((scaling.RESULTS / "scaling-cpu.json").read_text(encoding="utf-8"))
    assert result["state_bytes"] == scaling.state_bytes(1000), "run `python -m benchmarks.scaling --save` again"
    assert result["gradient_bytes"] == {name: scaling.gradient_bytes(name) for name in ("resnet18", "resnet34")}


def test_a_result_of_some_parts_keeps_the_others_and_says_where_they_come_from() -> None:
    before = {
        "date": "2026-01-01", "hardware": "old", "torch": "2", "command": "all", "git_revision": "a",
        "made_bytes": {"checkpoint": 1.0, "handed_over": 2.0},
        "costs": [{"part": "CDF", "seconds": 1.0}, {"part": "exchange", "seconds": 2.0}],
    }  # fmt: skip
    now = {
        **before, "parts": ["exchange"], "command": "one", "made_bytes": {"handed_over": 3.0},
        "costs": [{"part": "exchange", "seconds": 4.0}],
    }  # fmt: skip
    result = scaling.with_other_parts(now, before)
    assert {cost["part"]: cost["seconds"] for cost in result["costs"]} == {"CDF": 1.0, "exchange": 4.0}
    assert result["made_bytes"] == {"checkpoint": 1.0, "handed_over": 3.0}
    assert result["command"] == "one"
    assert result["kept"]["parts"] == ["CDF"]
    assert result["kept"]["command"] == "all"


@pytest.mark.parametrize("part", scaling.PARTS)
def test_every_part_runs(part: str, tmp_path: Path) -> None:
    run = scaling.PARTS[part](300, tmp_path, 0)
    for _ in range(2):
        run()
