"""The journal of a sweep: finished jobs, one line of JSON each, appended as they finish.

An entry is ``{"job": key, "measurement": …}`` or ``{"job": key, "failure": …}``. Each is one line that one ``write``
appends, so a process that is killed leaves at most one torn line, the last; reading cuts it off.
"""

import contextlib
import json
import os
from pathlib import Path

from .records import Measurement, json_line


def read_journal(path) -> dict[str, Measurement]:
    """The finished jobs of a journal, by key; none if there is no such file.

    A last line without its newline is what a killed run left: it is cut off.

    Raises:
        ValueError: the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entry = json.loads(line)
            if "measurement" in entry:
                found[entry["job"]] = Measurement.from_json(entry["measurement"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not a sweep's journal: {error}") from error
    return found


@contextlib.contextmanager
def open_journal(path):
    """A function that appends an entry to the file; with None for a path, one that does nothing.

    >>> with open_journal(None) as append:
    ...     append({"job": "1"})
    """
    if path is None:
        yield lambda entry: None
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(entry):
        line = json_line(entry).encode()
        if os.write(file, line) != len(line):
            raise OSError(f"{path}: the disk is full")

    try:
        yield append
    finally:
        os.close(file)
