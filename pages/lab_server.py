"""``codeckit lab``: the server of a local web app, for this machine alone.

The app (`lab/app.py`) is a marimo notebook, served at 127.0.0.1 and nowhere else. An uploaded picture goes from the
browser to this process and no further; it may have `MAX_BYTES` bytes and `MAX_PIXELS` pixels. A file that says it is
larger is refused before it is decoded.
"""

import io
import socket
from pathlib import Path

import numpy as np

from ..codecs.image_io import Reading, opened, read_image
from ..primitives.errors import StreamError

#: The only address that the app is served at.
HOST = "127.0.0.1"

#: The largest file and picture that the app takes.
MAX_BYTES, MAX_PIXELS = 20 << 20, 4_000_000


#: Transparent pixels on white, the upper 8 bits, the first frame.
_SHOWN = Reading(background="white", depth=8, frame=0)


def read_upload(data: bytes) -> np.ndarray:
    """The picture in an uploaded file: uint8 [H,W,3] or [H,W]. It is read as `_SHOWN` says, for a page can ask nothing.

    Raises:
        ValueError: too large, no picture, or none of 8-bit grey or RGB; the message is for the one who uploaded it.

    >>> read_upload(b"nothing")
    Traceback (most recent call last):
    ...
    ValueError: this file holds no picture that can be read
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file has {len(data) / 1e6:.1f} MB; the lab takes {MAX_BYTES / 1e6:.0f} MB")
    try:
        width, height = opened(data).size  # the header alone
    except StreamError as error:
        raise ValueError("this file holds no picture that can be read") from error
    if width * height > MAX_PIXELS:
        limit = MAX_PIXELS / 1e6
        raise ValueError(f"the picture has {width * height / 1e6:.1f} megapixels; the lab takes {limit:.0f}")
    try:
        return read_image(io.BytesIO(data), _SHOWN)
    except StreamError as error:
        raise ValueError("this file holds no picture that can be read") from error


def guarded(app):
    """An ASGI app that answers to this machine's names alone and takes no request that is larger than a picture.

    Other names are refused because a page from elsewhere could give its own name this address (DNS rebinding). Browsers
    send uploads as text, which takes a third more than the file.
    """
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import PlainTextResponse

    most = 3 * MAX_BYTES // 2

    async def limited(scope, receive, send):
        length = dict(scope.get("headers", ())).get(b"content-length", b"0")
        chunked = scope["type"] == "http" and b"transfer-encoding" in dict(scope["headers"])
        if chunked or not length.isdigit() or int(length) > most:
            await PlainTextResponse(f"at most {most} bytes", 413)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return TrustedHostMiddleware(limited, allowed_hosts=[HOST, "localhost"])


def serve(port: int = 0, ready=None) -> None:
    """Serve the app until it is interrupted.

    Args:
        port: 0 for one that is free.
        ready: called with the address once the port is taken.

    Raises:
        ImportError: marimo is not installed.
        OSError: the port is taken.
    """
    try:
        import marimo
        import uvicorn
    except ImportError as error:
        raise ImportError("the lab needs marimo: pip install 'codeckit[teach]'") from error
    app = marimo.create_asgi_app(include_code=False, quiet=True)
    app = guarded(app.with_app(path="", root=str(Path(__file__).parent / "lab" / "app.py")).build())
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with taken:
        taken.bind((HOST, port))
        taken.listen(128)
        if ready is not None:
            ready(f"http://{HOST}:{taken.getsockname()[1]}/")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws_max_size=2 * MAX_BYTES))
        server.run(sockets=[taken])
