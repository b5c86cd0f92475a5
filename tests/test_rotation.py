"""The rotation task against a slow version that turns one image at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bdw import pretext


def test_views_are_the_image_turned_by_right_angles_in_instance_order() -> None:
    images = torch.randn(3, 2, 5, 5)
    (views,) = pretext.build("rotation").views(images, torch.Generator())
    for instance in range(3):
        for quarter in range(4):
            expected = np.rot90(images[instance].numpy(), quarter, axes=(1, 2))
            np.testing.assert_array_equal(views[4 * instance + quarter], expected)


def test_losses_and_hits_are_means_over_an_instances_views() -> None:
    torch.manual_seed(0)
    task = pretext.build("rotation")
    encoder, head = nn.Sequential(nn.Flatten(), nn.Linear(50, 7)), task.head(7, (2, 5, 5))
    images = torch.randn(3, 2, 5, 5)
    output = task.solve(encoder, head, task.views(images, torch.Generator()))
    for instance in range(3):
        turned = [torch.rot90(images[instance : instance + 1], q, (2, 3)) for q in range(4)]
        logits = [head(encoder(view)) for view in turned]
        losses = [functional.cross_entropy(logit, torch.tensor([q])) for q, logit in enumerate(logits)]
        hits = [float(logit.argmax() == q) for q, logit in enumerate(logits)]
        torch.testing.assert_close(output.losses[instance], torch.stack(losses).mean())
        assert float(output.hits[instance]) == np.mean(hits)
    assert not output.hits.requires_grad
