"""The teacher against averages computed by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

# torch warns about itself at the first dual tensor of a process; this keeps it away.
import bdw.weighting.gradient.forward_mode  # noqa: F401
from bdw.pretext.projector import projector
from bdw.pretext.teacher import Teacher, cosine_momentum


def _students() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5))
    return encoder.double(), projector((5, 4, 3), batch_norm=True).double()


def _move(*students: nn.Module) -> None:
    with torch.no_grad():
        for student in students:
            for parameter in student.parameters():
                parameter.add_(torch.randn_like(parameter))


def _images() -> Tensor:
    return torch.randn(6, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_parameters_are_the_moving_average_and_take_no_gradient() -> None:
    encoder, head = _students()
    teacher = Teacher(encoder, head)
    expected = [parameter.detach().clone() for parameter in (*encoder.parameters(), *head.parameters())]
    for momentum in (0.9, 0.5, 1.0, 0.0):
        _move(encoder, head)
        teacher.follow(encoder, head, momentum=momentum)
        now = [parameter.detach() for parameter in (*encoder.parameters(), *head.parameters())]
        expected = [momentum * mine + (1 - momentum) * theirs for mine, theirs in zip(expected, now, strict=True)]
        for found, wanted in zip(teacher.parameters(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in (*encoder.parameters(), *head.parameters()))


def test_it_computes_what_its_students_computed_without_graph_or_tangent() -> None:
    encoder, head = _students()
    teacher = Teacher(encoder, head)
    expected = head(encoder(_images())).detach()
    _move(encoder, head)
    found = teacher(_images())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not found.requires_grad
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(_images(), torch.ones_like(_images()))
        assert forward_ad.unpack_dual(teacher(dual)).tangent is None


def test_a_pass_without_gradient_gets_what_is_known_of_the_very_same_views() -> None:
    """Not of equal ones, and not after anything has changed."""
    encoder, head = _students()
    teacher, images, others = Teacher(encoder, head), _images(), _images()
    first, _ = teacher(images), teacher(others + 1)
    calls: list[int] = []
    teacher.copies[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        assert teacher(images) is first
        assert not calls
        torch.testing.assert_close(teacher(others), first, rtol=1e-12, atol=1e-12)
        assert len(calls) == 1
        images[0].add_(1)
        assert not torch.allclose(teacher(images), first)
        images[0].sub_(1)
        teacher(images)
    assert teacher(images) is not first
    again = teacher(images)
    assert len(calls) == 5
    _move(encoder, head)
    teacher.begin_as(encoder, head)
    with torch.no_grad():
        assert not torch.allclose(teacher(images), again)
    assert len(calls) == 6
    again = teacher(images)
    teacher.follow(encoder, head, momentum=1.0)
    with torch.no_grad():
        assert teacher(images) is not again


def test_running_statistics_are_its_own_and_all_is_restored_from_its_state() -> None:
    encoder, head = _students()
    teacher = Teacher(encoder, head)
    teacher(_images())
    assert float(encoder[1].running_mean.abs().max()) == 0
    assert float(teacher.copies[0][1].running_mean.abs().max()) > 0
    _move(encoder, head)
    teacher.follow(encoder, head, momentum=0.3)
    again = Teacher(encoder, head)
    again.load_state_dict(copy.deepcopy(teacher.state_dict()))
    for module in (teacher, again):
        module.eval()
    assert torch.equal(again(_images()), teacher(_images()))


def test_it_begins_anew_as_students_that_were_given_weights() -> None:
    encoder, head = _students()
    teacher = Teacher(encoder, head)
    _move(encoder, head)
    encoder(_images())
    teacher.begin_as(encoder, head)
    for module in (teacher, encoder, head):
        module.eval()
    torch.testing.assert_close(teacher(_images()), head(encoder(_images())), rtol=0, atol=0)


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.996), (0.5, 0.998), (1.0, 1.0)])
def test_the_momentum_rises_to_1_along_half_a_cosine(progress: float, momentum: float) -> None:
    assert cosine_momentum(0.996, progress) == pytest.approx(momentum, rel=1e-12)
