"""Steps by ours and by the libraries, where they are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import pretext_peers


@pytest.mark.parametrize("task", ["simclr", "barlow_twins"])
def test_what_is_not_installed_is_left_out_with_its_reason(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(pretext_peers.importlib, "import_module", refuse)
    monkeypatch.setattr(pretext_peers, "STEPS", 1)
    monkeypatch.setattr(pretext_peers, "BATCH", 8)
    makers = pretext_peers._makers(task, 16)
    assert list(makers) == ["ours", "ours, recipe", "ours, exact", "ours, views given"]
    assert "lightly is left out: ImportError: No module named 'lightly.loss'" in capsys.readouterr().out
    for number, make in enumerate(makers.values()):
        make(tmp_path / str(number))()


@pytest.mark.filterwarnings("ignore")  # of libraries older than this torch
def test_losses_are_the_same_but_for_their_scale() -> None:
    """What is timed is the same computation: NT-Xent of two views, as a mean."""
    pytest.importorskip("lightly", reason="a peer, in an environment of its own: see benchmarks/pretext_peers.py")
    from bdw.pretext.simclr import nt_xent

    first, second = torch.nn.functional.normalize(torch.randn(2, 6, 5), dim=-1)
    ours = nt_xent(torch.stack([first, second], dim=1), temperature=0.5).mean()
    torch.testing.assert_close(pretext_peers._their_loss("lightly", "simclr")(first, second), ours)
