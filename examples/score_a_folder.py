"""Score a folder of images that a run never saw, and keep the best:
`python examples/score_a_folder.py RUN PHOTOS OUT`.

RUN is the directory of a finished run that learnt weights, such as `examples/fit_from_python.py` leaves.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd

import bdw


def main(run: str, photos: str, out: str, share: float = 0.2) -> pd.DataFrame:
    """Copy the best share of the photos, near-duplicates left out, and return the scores of all."""
    scores = bdw.score(run, photos)
    print(scores.nsmallest(5, "rank")[["rank", "name", "mean", "low", "high"]].to_string(index=False))

    chosen = bdw.select(scores, share=share, near_duplicates=False, pool=photos)
    kept = chosen[chosen["kept"]]
    print(f"kept {len(kept):,} of {len(chosen):,} images with a mean weight of {kept['mean'].min():.3f} or more")
    for row in kept.itertuples():
        place = Path(out) / row.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(row.filepath, place)

    # The mean weight is a probability in the recommended recipe; its interval says how sure the run would be.
    unsure = scores[(scores["low"] < 0.5) & (scores["high"] > 0.5)]
    print(f"of {len(unsure):,} images it is not sure whether they help more than not")
    return scores


if __name__ == "__main__":
    main(*sys.argv[1:4])
