"""What packing 1.28 M images takes: the model's arithmetic, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import packing, packing_model
from benchmarks.packing_model import Packing
from benchmarks.page_blocks import PAGE


def test_every_part_is_measured(shared_data: Path) -> None:
    files = packing.encoded("tiny-imagenet", 20, str(shared_data))
    row = packing.measure(files, 16, rounds=1)
    assert row["packed_bytes"] == 3 * 16 * 16
    assert row["encoded_bytes"] == sum(map(len, files)) / 20
    assert set(row["seconds"]) == {"decode", "store", "verify", "piece", "assemble"}
    assert all(seconds > 0 for seconds in row["seconds"].values())


def test_photographs_are_repeated() -> None:
    files = packing.encoded("photographs", 5, "")
    assert files[0] == files[2] == files[4]
    assert files[0] != files[1]


def by_hand(**seconds: float) -> Packing:
    parts = dict.fromkeys(("decode", "piece", "assemble", "verify"), 0.0) | seconds
    return Packing.of({"size": 96, "packed_bytes": 27_648, "seconds": parts})


def test_the_slower_of_processor_disk_and_connection_counts() -> None:
    # 1,281,167 images of 0.004 + 0.001 s on 16 processes; one process alone on its machine reads 148 GB in 118 s.
    slow = by_hand(decode=0.004, piece=0.001)
    assert slow.decoding(16) == pytest.approx(1_281_167 * 0.005 / 16)
    moved = 147_897_477_120 + 1_281_167 * 27_648
    assert by_hand().decoding(1) == pytest.approx(moved / 1.25e9)
    assert by_hand().decoding(16) == pytest.approx(moved / 2 / 1.25e9), "two machines of eight have two connections"
    assert by_hand().assembling == pytest.approx(35_421_705_216 / (125 * 2**20) + 2 * 35_421_705_216 / 1.25e9)
    assert by_hand(assemble=0.001).assembling == pytest.approx(1281.167 + 2 * 35_421_705_216 / 1.25e9)
    assert by_hand().fetching == pytest.approx(2 * 35_421_705_216 / (125 * 2**20))
    assert by_hand().listing == pytest.approx(2 * 128.2)
    assert slow.packing(16) == slow.listing + slow.decoding(16) + slow.assembling


@pytest.mark.parametrize(("rate", "shown"), [(12_345.6, 12_000), (623.4, 620), (99.4, 99), (7.6, 8)])
def test_rates_have_two_digits(rate: float, shown: int) -> None:
    assert packing_model._rounded(rate) == shown


def test_the_page_shows_what_the_committed_result_says() -> None:
    _, rest = PAGE.read_text(encoding="utf-8").split(packing_model.BEGIN)
    shown, _ = rest.split(packing_model.END)
    assert shown.strip() == packing_model.section(packing_model.measured()), (
        "run `python -m benchmarks.packing_model --save`"
    )


def test_the_page_names_every_assumption() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"{round(packing_model.ENCODED / 1000)} kB a JPEG" in page
    assert f", {packing_model.MACHINE} processes of one CPU on a machine" in page
    assert f"lists {packing_model.LISTED_AT_ONCE:,} names in {packing_model.LISTING} s" in page
