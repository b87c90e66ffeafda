"""Pages for people: one self-contained HTML file each, that shows what a codec does to a picture.

`explain` walks a picture through codecs, stage by stage, and `explain_video` a video, frame by frame. The report page
of a comparison is `report_page`. All that a page needs (pictures, script, style, the plot library) stands in the file
itself: it opens without a network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
