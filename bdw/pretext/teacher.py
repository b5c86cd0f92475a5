"""A teacher: the moving average of what is trained, and constant within a step (Tarvainen and Valpola, "Mean teachers
are better role models", NeurIPS 2017; for self-supervision He et al. 2020 and Grill et al. 2020)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """Copies of the students (an encoder and its projector, say), called one after the other.

    The copies start as the students are. Their parameters take no gradient: no optimiser moves them and no derivative
    goes into them. Batch norm in them normalises by the batch in training, as in the students, and keeps running
    statistics of its own. All are part of the state of the task that owns the teacher.
    """

    def __init__(self, *students: nn.Module):
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(student) for student in students)
        self.requires_grad_(False)
        self._known: list[tuple[Tensor, object, Tensor]] = []
        """Of the step under way: what came in, of which version it and the copies were, and what they made of it."""

    def forward(self, inputs: Tensor) -> Tensor:
        """What the last copy makes of it, without graph.

        A pass without gradient, such as the tangent pass, gets what a pass with gradient made of the very same views.
        """
        state = None if inputs.is_inference() else self._state(inputs)
        for seen, known, made in self._known:
            if seen is inputs and known == state and not torch.is_grad_enabled():
                return made
        found = inputs
        with torch.no_grad():
            for each in self.copies:
                found = each(found)
        found = found.detach()
        if torch.is_grad_enabled():
            # Those of the source and, after them, of the target.
            self._known = [*self._known[-1:], (inputs, state, found)]
        return found

    def _state(self, inputs: Tensor) -> object:
        """Differs wherever the copies' parameters, their mode or the inputs' contents do."""
        parameters = tuple((id(parameter), parameter._version) for parameter in self.parameters())
        return inputs._version, self.training, parameters

    def follow(self, *students: nn.Module, momentum: float) -> None:
        """Parameters become momentum * teacher + (1 - momentum) * student; the students in the order of `__init__`."""
        self._known = []
        own: list[Tensor] = []
        theirs: list[Tensor] = []
        for mine, student in zip(self.copies, students, strict=True):
            pairs = zip(mine.named_parameters(), student.named_parameters(), strict=True)
            for (name, parameter), (other, value) in pairs:
                assert name == other, "a copy has its student's parameters"
                own.append(parameter)
                theirs.append(value)
        with torch.no_grad():
            torch._foreach_lerp_(own, theirs, 1 - momentum)

    def begin_as(self, *students: nn.Module) -> None:
        """Start anew from the students' parameters and buffers, as after given weights were loaded into them."""
        for mine, student in zip(self.copies, students, strict=True):
            mine.load_state_dict(student.state_dict())


def cosine_momentum(start: float, progress: float) -> float:
    """Momentum from `start` to 1 along half a cosine over the share of the budget that is used, 0 to 1.

    1 - (1 - start) (cos(pi progress) + 1) / 2 (Grill et al., "Bootstrap your own latent", NeurIPS 2020, section 3.2).
    """
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2
