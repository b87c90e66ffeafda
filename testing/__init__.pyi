from .metrics import check_metric as check_metric
from .tasks import check_task as check_task
