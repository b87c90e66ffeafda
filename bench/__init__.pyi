from .comparison import run_comparison as run_comparison
from .datasets import (
    Dataset as Dataset,
)
from .datasets import (
    DatasetImage as DatasetImage,
)
from .datasets import (
    DatasetVideo as DatasetVideo,
)
from .datasets import (
    dataset as dataset,
)
from .jobs import Failure as Failure
from .records import (
    Measurement as Measurement,
)
from .records import (
    Measurements as Measurements,
)
from .records import (
    Summary as Summary,
)
from .records import (
    VideoMeasurement as VideoMeasurement,
)
from .report import Report as Report
from .report import compare as compare
from .sweep import SweepError as SweepError
from .sweep import evaluate as evaluate
