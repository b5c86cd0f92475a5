"""Choose images with an embedding of your own, and train on them:
`python examples/select_by_own_embedding.py PHOTOS LABELLED FOLDER`.

PHOTOS is a folder of images; LABELLED has a sub-folder for each class. What is near to any labelled image is kept; with
`clusters`, as much from every cluster of the pool, so that the choice is not a thousand times the same.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import bdw


def embed(path: Path) -> np.ndarray:
    """Put your own model here: any vector of an image will do. This one is a thumbnail of 8 x 8 colours."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((8, 8)), dtype=np.float32).ravel() / 255


def features_of(folder: str) -> tuple[list[str], np.ndarray]:
    """Names as bdw has them, paths below the folder, and features of unit length (n, d)."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    features = np.stack([embed(path) for path in paths])
    centred = features - features.mean(axis=1, keepdims=True)
    names = [path.relative_to(folder).as_posix() for path in paths]
    return names, centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def main(
    photos: str, labelled: str, folder: str, *, share: float = 0.5, clusters: int | None = None, **settings: object
) -> pd.DataFrame:
    """Keep that share of the photos, the nearest to the labelled images, and train on what is kept."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    names, pool = features_of(photos)
    _, target = features_of(labelled)

    # The cosine with the nearest labelled image, from 0 to 1: a score as any other.
    scores = pd.DataFrame({"name": names, "mean": (1 + (pool @ target.T).max(axis=1)) / 2})
    cover = {}
    if clusters is not None:
        pd.DataFrame({"name": names, "embedding": pool.tolist()}).to_parquet(out / "features.parquet")
        cover = {"clusters": clusters, "features": out / "features.parquet"}
    chosen = bdw.select(scores, share=share, pool=photos, **cover)
    chosen.to_parquet(out / "kept.parquet")
    print(f"kept {chosen['kept'].sum():,} of {len(chosen):,} images")

    # What is not kept is pruned before the first epoch; what is kept counts alike.
    given = {"weighter": "given", "weights_file": str(out / "kept.parquet"), "weighted_loss": False}
    result = bdw.fit(source=photos, target=labelled, run_dir=str(out / "run"), **given, **settings)
    print(f"trained on {result.history[-1].kept:,} images: {result.run_dir / 'report.html'}")
    return chosen


if __name__ == "__main__":
    main(*sys.argv[1:4])
