"""Neural Data Server (Yan, Acuna and Fidler, "Neural Data Server: a large-scale search engine for transfer learning
data", CVPR 2020; ICLR 2020 submission "What data is useful for my data").

The pool is partitioned once, by k-means or by its labels, and an expert is trained on each part S_i, here by rotations.
A target asks each expert how well it recognises the rotations of the target's images, without any training, or how well
a linear layer on its features tells the target's labels (`bdw.weighting.selection.adaptation`). The accuracies z_i,
scaled to [0, 1], become w = softmax(z / T), and an image x of S_i is drawn with p(x) = w_i / |S_i|, without
replacement. Partition and experts serve every later target.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from bdw import encoders
from bdw.config import SelectorConfig
from bdw.config.selector_options import PIXELS, NeuralDataServerOptions
from bdw.data import Problem
from bdw.errors import InputError
from bdw.pretext import PretextModel
from bdw.storage.tensor_file import contents_of, tensors_in, write_tensors
from bdw.weighting.selection.adaptation import adapted_accuracy, require_adaptable
from bdw.weighting.selection.drawing import drawn
from bdw.weighting.selection.experts import Job, accuracy, asked, features
from bdw.weighting.selection.kmeans import kmeans
from bdw.weighting.selection.protocol import Toolkit
from bdw.weighting.selection.selectors.importance import require_labels
from bdw.weighting.selection.selectors.prototypes import require_clusters
from bdw.weighting.selection.size import Size, by_name, weights_of
from bdw.weighting.selection.vectors import of_length_1, pool_vectors, require_features

NDS = 37
"""Stream of random numbers, beside those of other selectors."""


@dataclass(frozen=True)
class NeuralDataServer:
    """Images drawn from the parts whose experts know the target best."""

    size: Size
    options: NeuralDataServerOptions

    @classmethod
    def from_config(cls, config: SelectorConfig) -> Self:
        """With the config's size and options; `features` are needed where parts are clusters."""
        options: NeuralDataServerOptions = config.selector_options
        if options.partition == "clusters":
            require_features(options, "neural-data-server")
        encoders.check_name(options.expert)
        return cls(Size.of(config), options)

    def weights(self, problem: Problem, toolkit: Toolkit) -> NDArray[np.float64]:
        """1 for the drawn images (n,); `InputError` for more experts than images, and for parts by labels of a pool
        that has none."""
        source, options = problem.source, self.options
        wanted = self.size.of_all(len(source))
        if options.adaptation == "linear":
            require_adaptable(problem)
        if options.partition == "labels":
            require_labels(problem, "selector.partition: 'labels'")
        else:
            require_clusters("selector.experts", options.experts, len(source))
        folder = toolkit.cache_dir / f"experts-{self._key(problem, toolkit)}"
        order = by_name(source)
        parts = self._partition(problem, toolkit, folder / "partition.safetensors")[order]
        jobs = [
            Job(
                source,
                order[parts == part],
                options,
                toolkit.seed,
                folder / f"{part:04}.safetensors",
                toolkit.device.type,
            )
            for part in range(int(parts.max()) + 1)
        ]
        found = asked(jobs, self._question(problem, toolkit), len(problem.target_images), toolkit)
        shares = probabilities(np.array(found), parts, options.temperature)
        generator = np.random.default_rng([toolkit.seed, NDS])
        return weights_of(order[drawn(shares, wanted, generator)], len(source))

    def _question(self, problem: Problem, toolkit: Toolkit) -> Callable[[PretextModel], float]:
        """What an expert is asked: its accuracy on the target, 0 to 1; adapted, the mean over the targets if there are
        several."""
        if self.options.adaptation == "none":
            return lambda expert: accuracy(expert, problem.target_images, toolkit.device)
        shares = [target.train for target in problem.targets.values()]

        def adapted(expert: PretextModel) -> float:
            return fmean(
                adapted_accuracy(features(expert, share.images, toolkit.device), share.labels, toolkit.seed)
                for share in shares
            )

        return adapted

    def _key(self, problem: Problem, toolkit: Toolkit) -> str:
        """Names partition and experts by all that they depend on, contents for paths; the target, what it asks and the
        temperature are not among it."""
        options, by = self.options, None
        if options.partition == "clusters" and options.features is not None:
            by = PIXELS if options.features == PIXELS else toolkit.embedder(options.features).key
        own = dataclasses.replace(options, features=PIXELS, temperature=1.0, adaptation="none")
        known = (problem.source.content_key, by, toolkit.seed, own)
        return hashlib.sha256(repr(known).encode()).hexdigest()[:16]

    def _partition(self, problem: Problem, toolkit: Toolkit, file: Path) -> NDArray[np.int64]:
        """The part (n,) of every instance, 0 to K - 1, from the cache or for it."""
        kept = _kept(file, len(problem.source))
        if kept is not None:
            parts, seconds, images = kept
            toolkit.meter.reuse(seconds, images)
            return parts
        before = toolkit.meter.cost()
        if self.options.partition == "labels":
            labels = problem.source.labels
            # Images without a label are a part of their own.
            parts = np.unique(labels, return_inverse=True)[1].astype(np.int64)
        else:
            rows, order = pool_vectors(problem, str(self.options.features), toolkit)
            with toolkit.meter.shared(len(rows)):
                clusters = kmeans(of_length_1(rows), self.options.experts, toolkit.seed)
            parts = np.empty(len(order), dtype=np.int64)
            parts[order] = clusters.labels
        after = toolkit.meter.cost()
        metadata = {
            "seconds": repr(after.shared_seconds - before.shared_seconds),
            "images": str(after.shared_images - before.shared_images),
        }
        write_tensors(file, {"parts": torch.from_numpy(parts)}, metadata)
        return parts


def probabilities(accuracies: NDArray[np.float64], parts: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """p(x) = w_i / |S_i| (n,) of images in these parts (n,), by the accuracies (K,) of the parts' experts."""
    spread = np.ptp(accuracies)
    scaled = (accuracies - accuracies.min()) / spread if spread > 0 else np.zeros(len(accuracies))
    powers = np.exp((scaled - scaled.max()) / temperature)
    shares = powers / powers.sum() / np.bincount(parts, minlength=len(accuracies))
    return np.asarray(shares[parts])


def _kept(file: Path, count: int) -> tuple[NDArray[np.int64], float, int] | None:
    """Parts, and what they cost; None if there are none that can be used."""
    with contextlib.suppress(InputError, KeyError, ValueError):
        tensors, metadata = tensors_in(contents_of(file, "partition"), f"partition {file}")
        parts = tensors["parts"].numpy()
        if parts.shape == (count,):
            return parts, float(metadata["seconds"]), int(metadata["images"])
    return None
