from .codecs import check_codec as check_codec
from .metrics import check_metric as check_metric
from .networks import check_network as check_network
from .stages import check_stage as check_stage
from .tasks import check_task as check_task
