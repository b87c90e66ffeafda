from .explain import explain as explain
from .explain_video import explain_video as explain_video
from .notebook import notebook_page as notebook_page
from .report import report_page as report_page
