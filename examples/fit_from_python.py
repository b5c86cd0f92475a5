"""Train an encoder from Python and use it: `python examples/fit_from_python.py FOLDER`.

It takes the embedded pool, so that it runs anywhere. For images of your own give `source` and `target`: a folder of
images, and one with a sub-folder for each class.
"""

import sys
from pathlib import Path

import torch

import bdw


def main(folder: str, **settings: object) -> bdw.FitResult:
    """Train, say what came of it, and compute features with the encoder."""
    # source="photos", target="labelled"
    wishes = {"budget_images": 20_000} | settings
    result = bdw.fit(run_dir=str(Path(folder) / "run"), **wishes)
    for report in result.history:
        print(f"epoch {report.epoch}: loss {report.loss:.3f}, kept {report.kept_fraction:.0%}")

    weights = result.instance_weights
    print(f"{weights['kept'].sum():,} of {len(weights):,} images are kept; the most useful ones:")
    print(weights.nlargest(5, "mean")[["name", "mean", "kept"]].to_string(index=False))

    # The encoder of the best epoch, and what makes any uint8 images into its input.
    encoder, transform = bdw.load_encoder(result.run_dir / "encoder.safetensors")
    images = torch.randint(256, (4, transform.channels, 64, 48), dtype=torch.uint8)
    with torch.inference_mode():
        features = encoder(transform(images))
    print(f"features of 4 images: {tuple(features.shape)}")
    print(f"report: {result.run_dir / 'report.html'}")
    return result


if __name__ == "__main__":
    main(sys.argv[1])
