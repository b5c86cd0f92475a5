"""DeepCluster (Caron, Bojanowski, Joulin and Douze, "Deep clustering for unsupervised learning of visual features",
ECCV 2018): in which cluster of the encoder's own features is this image?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bdw.config.pretext_options.deep_cluster import DeepClusterOptions
from bdw.data.augment import centre_crop
from bdw.encoders import Encoder
from bdw.errors import InputError
from bdw.parallel import collectives
from bdw.pretext.base import Crop, Outputs, PretextTask, Views
from bdw.pretext.clustering import Clusters, clustered
from bdw.pretext.views import Augmentation

IMAGES_IN_A_CLUSTER = 128
"""ImageNet's 1.28 million by the paper's 10,000."""
HEAD_DEVIATION = 0.01
"""Of the classifier's weights when it begins anew, as in the authors' code."""


class DeepCluster(PretextTask):
    """Cross-entropy (eq. 1) of one augmented view per instance at the instance's cluster.

    Before every epoch the features of all kept instances are clustered anew, in evaluation mode and without
    augmentation, and the classifier, a linear layer, begins anew. An instance of a cluster of n_c instances counts
    n / (m n_c) times, n of them in m clusters; the paper draws instances so, or weights them (section 3.3). The
    optimiser's momentum of the classifier stays; the paper's Sobel filter is left out.

    Before the first epoch clusters are dealt out in turn. An image outside the source belongs to the nearest cluster.
    Workers share the features' computation, and the first of them clusters.
    """

    Options = DeepClusterOptions
    num_views = 1
    labels: Tensor
    factors: Tensor
    mean: Tensor
    whitening: Tensor
    centres: Tensor
    used: Tensor
    epochs: Tensor

    def __init__(self, encoder: Encoder, options: DeepClusterOptions | None = None):
        super().__init__(encoder, options)
        self.augmentation = Augmentation.of(self.options, encoder.image_shape[-1])
        self.components = min(self.options.components, encoder.feature_dim)
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(encoder.feature_dim))
        self.register_buffer("whitening", torch.zeros(encoder.feature_dim, self.components))
        self.register_buffer("epochs", torch.tensor(0))
        self._set_size(encoder.feature_dim, self.options.clusters or 2)

    def keep(self, kept: Tensor) -> None:
        """The first time, the classifier gets its size, and n instances are dealt out in turn.

        `InputError` if there are fewer instances than clusters.
        """
        if len(self.labels) == len(kept):
            return
        count = self._count(len(kept))
        if count > len(kept):
            allowed = f"2 to {len(kept)}, or none for one to {IMAGES_IN_A_CLUSTER}"
            raise InputError(f"pretext.clusters: {count} cannot work with {len(kept)} images; allowed: {allowed}")
        if count != self.head.out_features:
            self._set_size(self.head.in_features, count)
        self.labels = torch.arange(len(kept), device=self.labels.device) % count

    def begin_epoch(self, encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Cluster the kept instances, and begin anew with the classifier."""
        instances, features = _features(encoder, batches)
        count = min(self._count(len(instances)), self.head.out_features, len(instances))
        seed = int(self.epochs)
        found = collectives.computed_on(0, lambda: clustered(features.numpy(), count, self.components, seed))
        self._adopt(instances, found)
        self.epochs += 1
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.empty(self.head.weight.shape).normal_(std=HEAD_DEVIATION, generator=generator)
            self.head.weight.copy_(drawn)
            self.head.bias.zero_()

    def views(self, images: Tensor, crop: Crop, generator: torch.Generator) -> Views:
        """Augmented views (k, c, s, s). `crop` serves the description, and images outside the source."""
        crops = crop(images)
        return Views(crops, (self.augmentation(images, generator).to(crops),))

    def forward(self, encoder: Callable[[Tensor], Tensor], views: Views) -> Outputs:
        """Z: logits (k, m), -inf for clusters that are not used. Given: the instances' clusters (k,). Hits (k,)."""
        features = encoder(views.inputs[0])
        logits = self.head(features).masked_fill(~self.used, -torch.inf)
        if views.instances is None:
            with torch.no_grad():
                labels = self._nearest(encoder(views.images).detach())
        else:
            labels = self.labels[views.instances.to(features.device, non_blocking=True)]
        hits = (logits.detach().argmax(dim=1) == labels).to(logits.dtype)
        return Outputs((logits,), (labels,), features.detach(), hits)

    def losses(self, outputs: Outputs) -> Tensor:
        """(k,) cross-entropy at the cluster, times the factor of the cluster's size."""
        (logits,), (labels,) = outputs.z, outputs.given
        return self.factors[labels].to(logits) * functional.cross_entropy(logits, labels, reduction="none")

    def _count(self, instances: int) -> int:
        return int(self.options.clusters or max(2, instances // IMAGES_IN_A_CLUSTER))

    def _set_size(self, features: int, count: int) -> None:
        device, dtype = self.mean.device, self.mean.dtype
        self.head = nn.Linear(features, count, device=device, dtype=dtype)
        nn.init.normal_(self.head.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("factors", torch.ones(count, device=device, dtype=dtype))
        self.register_buffer("centres", torch.zeros(count, self.components, device=device, dtype=dtype))
        self.register_buffer("used", torch.ones(count, dtype=torch.bool, device=device))

    def _adopt(self, instances: Tensor, found: Clusters) -> None:
        """Labels, sizes and centres of these instances' clusters; components and clusters that are not there are 0."""
        count, components = found.centres.shape
        labels = torch.from_numpy(found.labels)
        sizes = labels.bincount(minlength=count)
        self.labels[instances.to(self.labels.device)] = labels.to(self.labels.device)
        self.factors.fill_(1)
        self.factors[:count] = (len(labels) / (count * sizes.double())).to(self.factors)
        self.used.copy_(torch.arange(len(self.used)) < count)
        self.mean.copy_(torch.from_numpy(found.mean))
        self.whitening.zero_()[:, :components] = torch.from_numpy(found.whitening).to(self.whitening)
        self.centres.zero_()[:count, :components] = torch.from_numpy(found.centres).to(self.centres)

    def _nearest(self, features: Tensor) -> Tensor:
        """(k,) cluster of the nearest centre, of features (k, d)."""
        rows = functional.normalize((features - self.mean) @ self.whitening, dim=1)
        nearness = 2 * rows @ self.centres.T - self.centres.square().sum(dim=1)
        return nearness.masked_fill(~self.used, -torch.inf).argmax(dim=1)


def _features(encoder: Encoder, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """All instances' numbers (n,), rising, and features (n, d) float32 of their centre crops, on the CPU.

    Workers take the batches in turn.
    """
    numbers, rows = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, encoder.feature_dim)]
    dtype, was_training = next(encoder.parameters()).dtype, encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            for turn, (indices, images) in enumerate(batches):
                if turn % collectives.size() == collectives.rank():
                    crops = centre_crop(images, encoder.image_shape[-1])
                    numbers.append(indices)
                    rows.append(encoder(crops.to(dtype)).float().cpu())
    finally:
        encoder.train(was_training)
    everyones = collectives.gather_rows(torch.cat(numbers))
    features = collectives.gather_rows(torch.cat(rows))
    order = everyones.argsort()
    return everyones[order], features[order]
