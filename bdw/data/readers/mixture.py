"""Several data sets as one pool: `mixture:mnist+fashion-mnist+kmnist`, the source of the paper's Table 1.

Every image's kind is the member that it comes from. Where the target is one of the members, those of its kind count as
useful in reports and for the oracle (see `problem.load`); the method is not told.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np

from bdw.data.instances import Part, Pixels
from bdw.data.readers.base import Reader, Request, SplitName
from bdw.errors import InputError

Resolve = Callable[..., tuple[Reader, Request]]
NAME = "mixture"
_WHAT = "mixture:A+B, every member a name, a file or a folder as --source takes it"


class Mixture:
    """The sources of its members in a random order, drawn by the seed."""

    name = NAME

    def __init__(self, resolve: Resolve):
        """`resolve` finds the reader of a member: the registry's own, which knows this reader and so is given to it."""
        self._resolve = resolve

    def source(self, request: Request) -> Part:
        """All images of all members; their labels are dropped, since classes of different members mean nothing here."""
        members = _members(request)
        parts = [self._member(member, request, request.channels) for member in members]
        channels = max(part.channels for part in parts)
        if any(part.channels != channels for part in parts):
            parts = [self._member(member, request, channels) for member in members]
        lengths = [len(part) for part in parts]
        which = np.repeat(np.arange(len(parts)), lengths)
        within = np.concatenate([np.arange(length) for length in lengths])
        order = np.random.default_rng([request.seed, 13]).permutation(len(which))
        which, within = which[order], within[order]
        names = [parts[m].names[i] for m, i in zip(which, within, strict=True)]
        if len(set(names)) < len(names):
            names = [f"{members[m]}/{name}" for m, name in zip(which, names, strict=True)]

        def read(i: int) -> Pixels:
            member: Part = parts[which[i]]
            return member.read(int(within[i]))

        return Part(
            names=names,
            labels=np.full(len(names), -1, dtype=np.int64),
            read=read,
            channels=channels,
            fingerprint={
                "reader": self.name,
                "members": [dict(part.fingerprint) for part in parts],
                "kinds": members,
                "seed": request.seed,
            },
            kinds=np.array(members)[which],
            threads=max((part.threads for part in parts if part.threads), default=None),
            remarks=lambda: [remark for part in parts for remark in part.remarks()],
            counted=lambda: dict(sum((Counter(part.counted()) for part in parts), Counter())),
            unused=[
                dataclasses.replace(skipped, name=f"{member}/{skipped.name}")
                for member, part in zip(members, parts, strict=True)
                for skipped in part.unused
            ],
        )

    def target(self, request: Request) -> dict[SplitName, Part]:
        """Refused: a target has one set of classes."""
        raise InputError(f"{request.option}: {request.spec!r} is a source only; allowed: one labelled data set")

    def _member(self, spec: str, request: Request, channels: int | None) -> Part:
        if spec.startswith(f"{self.name}:"):
            raise InputError(f"{request.option}: {request.spec!r} has a mixture inside; allowed: {_WHAT}")
        reader, own = self._resolve(
            spec,
            option=request.option,
            image_size=request.image_size,
            data_root=request.data_root,
            cache_dir=request.cache_dir,
            download=request.download,
            channels=channels,
            seed=request.seed,
        )
        part = reader.source(own)
        # Packed stores have their images decoded already, at a size of their own.
        return part if part.packed is None else dataclasses.replace(part, packed=None)


def _members(request: Request) -> list[str]:
    members = [member.strip() for member in str(request.path or "").split("+")]
    if len(members) < 2 or not all(members):
        raise InputError(f"{request.option}: {request.spec!r} names fewer than two data sets; allowed: {_WHAT}")
    twice = next((member for member in members if members.count(member) > 1), None)
    if twice is not None:
        raise InputError(f"{request.option}: {request.spec!r} names {twice!r} twice; allowed: each member once")
    return members
