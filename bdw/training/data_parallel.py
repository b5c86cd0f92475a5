"""The model as a training pass of several workers calls it: their gradients are averaged on the way back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bdw.encoders import untouched_statistics
from bdw.parallel import collectives
from bdw.pretext import PretextModel, PretextTask


def replicated(model: PretextModel, images: Tensor) -> nn.Module:
    """The model itself for one worker; for more, wrapped in DistributedDataParallel. Called on all of them.

    DistributedDataParallel arranges the gradients anew after the first backward pass of a process, in the order in
    which they came, and three workers or more add up differently in another arrangement. A run that is continued would
    thus differ in its first step from one that was never stopped. So that pass is made here, on a few images
    (m, c, s, s), uint8, of any content, and leaves no other trace.
    """
    if collectives.size() == 1:
        return model
    # They are the same everywhere (`PretextTask`), and may be large: a queue, a memory of all instances.
    tasks = [(path, each) for path, each in model.named_modules() if isinstance(each, PretextTask)]
    own = [f"{path}.{name}" for path, task in tasks for name, _ in task.named_buffers(recurse=False)]
    dtype = next(model.parameters()).dtype
    views = model.task.views(images, lambda stored: stored.to(dtype), torch.Generator().manual_seed(0))
    weights, instances = torch.ones(len(images)), len(images) * collectives.size()
    with untouched_statistics(model):
        model.task.loss(model(views), weights, instances).total.backward()
        # A task that takes a map or tokens leaves out what an encoder does with them; those have nothing to average.
        own += [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
        model.zero_grad(set_to_none=True)
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, own)
        wrapped = DistributedDataParallel(model)
        model.task.loss(wrapped(views), weights, instances).total.backward()
    model.zero_grad(set_to_none=True)
    return wrapped
