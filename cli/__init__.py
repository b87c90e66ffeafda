"""The command line, `codeckit`: encode, decode, repack, unpack, info, codecs, compare, sweep, explain, lab, train.

Results go to stdout or files, progress to stderr. Errors are one line; the exit status is 2 for bad use (an unknown
codec, a target that cannot be reached) and 1 for bad data (a damaged stream, a missing file). A folder's files are all
done: those that fail are told of one by one, and make the status 1. Ctrl-C gives 130, a closed pipe 141, as in shells.
"""

import os
from typing import NoReturn

from ..primitives.errors import StreamError
from . import console
from .arguments import parser


def program() -> NoReturn:
    """`main` as a program, which ends with it."""
    status = main()
    if status == 130:
        os._exit(status)  # the interpreter would wait for threads, which may code a large picture for minutes
    raise SystemExit(status)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status.

    >>> main(["codecs", "--json"]) == 0  # doctest: +ELLIPSIS
    [{"name": "av1", ...
    True
    """
    console.prepare()
    options = parser().parse_args(arguments)
    try:
        status = options.run(options)
        console.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError as error:
        if error.filename is None:  # not a file of ours: who reads stdout has seen enough
            return 141
        return _failed(options.command, error)
    except (StreamError, OSError, ValueError, ImportError, MemoryError) as error:
        return _failed(options.command, error)
    finally:
        console.close()


def _failed(command: str, error: Exception) -> int:
    said = str(error) or ("not enough memory" if isinstance(error, MemoryError) else type(error).__name__)
    console.complain(f"codeckit {command}: {said}")
    return 1 if isinstance(error, StreamError | OSError | MemoryError) else 2
