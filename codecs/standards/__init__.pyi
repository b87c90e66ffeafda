import codeckit.codecs.entry as _entry

from .codec import StandardCoded as StandardCoded
from .codec import av1 as av1
from .codec import h264 as h264
from .codec import hevc as hevc
from .codec import vp9 as vp9
from .codec import vvc as vvc
from .encoders import STANDARDS as STANDARDS
from .encoders import Settings as Settings

H264: _entry.Entry
HEVC: _entry.Entry
AV1: _entry.Entry
VP9: _entry.Entry
VVC: _entry.Entry
