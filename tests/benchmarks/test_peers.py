"""All ways to the meta-gradient agree: ours, double backward, and the libraries, where they are installed."""

from __future__ import annotations

import pytest
import torch

from benchmarks import peers

LIBRARIES = {"torchopt": "torchopt", "higher": "higher", "betty unrolled": "betty", "betty darts": "betty"}


def _gradient(name: str, meta_loss: str) -> torch.Tensor:
    run = peers.prepare(name, "digits", meta_loss, 0, torch.float64, 1)
    return run()


@pytest.mark.filterwarnings("ignore")  # of libraries older than this torch
@pytest.mark.parametrize("meta_loss", ["prototype", "pretext"])
@pytest.mark.parametrize("name", [name for name in peers.ALL if name != peers.OURS])
def test_agrees_with_ours(name: str, meta_loss: str) -> None:
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name], reason="a peer, in an environment of its own: see benchmarks/peers.py")
    cosine, error = peers.difference(_gradient(name, meta_loss), _gradient(peers.OURS, meta_loss))
    assert error <= (1e-8 if name in peers.EXACT else 0.5)
    assert cosine >= (1 - 1e-12 if name in peers.EXACT else 0.95)


def test_runs_again_from_the_same_start() -> None:
    """Double backward changes nothing, so that timing it often is timing the same."""
    run = peers.prepare("double backward", "digits", "pretext", 0, torch.float64, 1)
    assert torch.equal(run(), run())


def test_a_library_that_is_not_installed_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: peers.Problem) -> None:
        raise ImportError("No module named 'rival'")

    monkeypatch.setattr(peers, "ALL", {peers.OURS: peers.ALL[peers.OURS], "rival": refuse})
    monkeypatch.setattr(peers, "peak_megabytes", lambda *_: 1.0)
    peers.main(peers.Arguments(setting="digits", rounds=1))
    printed = capsys.readouterr().out
    assert "left out: rival, ImportError: No module named 'rival'" in printed
