"""One stream, several tasks: what machines get out of the same tokens, without these being coded again.

    python -m codeckit.bench.studies.token_tasks --train IMAGENETTE/train --test IMAGENETTE/val
        [--count 200] [--qualities 1,2,4,6,8]

The pictures of the test folder (Imagenette, ten of ImageNet's classes) are coded once. From what was decoded, tokens or
a picture, four readers work:

- ImageNet's head: which of 1000 classes;
- a linear probe on the tokens' means and standard deviations, fitted on uncompressed training pictures: which of ten;
- retrieval by class: does the nearest other picture's embedding (cosine) belong to the same class;
- retrieval of the picture itself: the query is the original, mirrored; is its own stream the nearest of all.
"""

import argparse
import sys

import numpy as np

from ... import codec
from ...metrics.tasks import IMAGENETTE, ImageNet, LinearProbe
from ...primitives.tokens.backbones import load_backbone
from ..datasets import dataset
from ..tables import align


def evenly(images, count: int):
    """`count` of the images, or all, spread over the classes."""
    return [images[int(n)] for n in np.linspace(0, len(images) - 1, min(count, len(images)))]


def unit(rows) -> np.ndarray:
    """Rows of unit length."""
    rows = np.stack(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measure(coder, images, pixels, probe, queries) -> list[str]:
    """One row of the table: bytes and the four accuracies in percent."""
    imagenet, backbone = ImageNet(), load_backbone("efficientnet-lite0")
    sizes, head, probed, embeddings = [], [], [], []
    for image, original in zip(images, pixels, strict=True):
        stream = coder.encode(original)
        decoded = coder.decode(stream)
        sizes.append(8 * len(stream) / (original.shape[0] * original.shape[1]))
        head.append(imagenet.score(imagenet.predict(decoded), IMAGENETTE[image.label])["top1"])
        probed.append(probe.score(probe.predict(decoded), image.label)["top1"])
        embeddings.append(backbone.embedding(decoded))
    gallery, labels = unit(embeddings), np.array([image.label for image in images])
    own = (queries @ gallery.T).argmax(1) == np.arange(len(images))
    similarity = gallery @ gallery.T
    np.fill_diagonal(similarity, -1)
    same = labels[similarity.argmax(1)] == labels
    accuracies = [100 * np.mean(found) for found in (head, probed, same, own)]
    return [f"{np.mean(sizes):.4f}", *(f"{accuracy:.1f}" for accuracy in accuracies)]


def main(arguments=None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, metavar="FOLDER", help="a folder of pictures for each class")
    parser.add_argument("--test", required=True, metavar="FOLDER")
    parser.add_argument("--train-count", type=int, default=1000, metavar="N")
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--qualities", default="1,2,4,6,8", metavar="Q,Q,…")
    options = parser.parse_args(arguments)

    train = evenly(dataset(options.train, recursive=True), options.train_count)
    images = evenly(dataset(options.test, recursive=True), options.count)
    probe = LinearProbe.fit("imagenette", train)
    pixels = [image.load() for image in images]
    backbone = load_backbone("efficientnet-lite0")
    queries = unit([backbone.embedding(np.ascontiguousarray(picture[:, ::-1])) for picture in pixels])
    rows = [["codec", "bpp", "1000 classes", "probe, 10 classes", "class retrieval", "picture retrieval"]]
    coders = [("uncompressed", codec("uncompressed"))]
    coders += [(f"tokens {q}", codec("tokens", quality=float(q))) for q in options.qualities.split(",")]
    coders += [(f"libjpeg {q}", codec("libjpeg", quality=q)) for q in (5, 20, 60)]
    for name, coder in coders:
        rows.append([name, *measure(coder, images, pixels, probe, queries)])
        print(f"{name} done", file=sys.stderr)
    print(f"{len(images)} pictures; accuracies in percent\n{align(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
