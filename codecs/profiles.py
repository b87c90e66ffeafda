"""Profiles: what the streams of a codec take for granted, as data that never change.

A profile is the complete list of a codec's stages with every field that decoding needs, under the codec's id and a
revision. A stream names both, and writes whatever in its composition differs, so that defaults in code, names of
classes and imports have no part in what it decodes to. A released profile is never edited: when a codec's composition
changes, its profile gets another revision, and streams of the earlier ones decode as before.

codeckit's own profiles stand in ``profiles.json`` beside this file, by the codec's name::

    {"jpeg": {"number": 1, "revisions": [[["color", "codeckit:YCbCr@1", {"matrix": "bt601"}], ...]]}}

where the n-th list of stages is revision n. A plug-in's file looks the same, without numbers.
"""

import functools
import json
from dataclasses import dataclass
from importlib import resources

from ..primitives.errors import StreamError
from ..primitives.plugins import OWN
from ..primitives.stage import Stage, from_spec


@dataclass(frozen=True)
class Profile:
    """One revision of a codec's profile.

    Attributes:
        codec: the codec's id, such as ``"codeckit:jpeg"``.
        number: what a stream writes for the id; 0 if it writes the id itself.
        revision: from 1 up.
        stages: (role, stage id, fields) of each stage, in order.
        earlier: the profiles of all revisions before, the first one first.

    >>> profile = load(f"{OWN}.codecs:profiles.json", OWN)["balle2017"]
    >>> [role for role, _, _ in profile.stages]
    ['pad', 'transform', 'quantize', 'entropy']
    """

    codec: str
    number: int
    revision: int
    stages: tuple[tuple[str, str, dict], ...]
    earlier: tuple["Profile", ...] = ()

    @property
    def written(self) -> int | str:
        """What a stream writes for the codec: its number, or its id where it has none."""
        return self.number or self.codec

    @property
    def specs(self) -> dict[str, list]:
        """Each stage as `primitives.stage.spec` describes it, by role."""
        return {role: [id, fields] for role, id, fields in self.stages}

    def build(self) -> dict[str, Stage]:
        """The stages themselves; those with weights have none yet."""
        return {role: from_spec(described) for role, described in self.specs.items()}

    def at(self, revision: int) -> "Profile":
        """The profile of the same codec with another revision.

        Raises:
            StreamError: this version of the codec has no such revision.
        """
        for profile in (*self.earlier, self):
            if profile.revision == revision:
                return profile
        raise StreamError(
            f"the stream was made by revision {revision} of {self.codec}; this version knows revisions up to "
            f"{self.revision}"
        )


@functools.cache
def load(resource: str, namespace: str) -> dict[str, Profile]:
    """The newest profile of every codec in a file, by the codec's name.

    Args:
        resource: ``"package:file.json"``.
        namespace: distribution that the codecs belong to.
    """
    package, _, file = resource.partition(":")
    written = json.loads(resources.files(package).joinpath(file).read_text(encoding="utf-8"))
    newest = {}
    for name, record in written.items():
        earlier: tuple[Profile, ...] = ()
        for revision, stages in enumerate(record["revisions"], 1):
            stages = tuple((role, id, fields) for role, id, fields in stages)
            number = record.get("number", 0) if namespace == OWN else 0
            newest[name] = Profile(f"{namespace}:{name}", number, revision, stages, earlier)
            earlier = (*earlier, newest[name])
    return newest


def own() -> dict[str, Profile]:
    """codeckit's own profiles by the codec's name."""
    return load(f"{OWN}.codecs:profiles.json", OWN)


def numbered(number: int) -> Profile:
    """The newest profile of the codec with a number.

    Raises:
        StreamError: no codec has it.

    >>> numbered(1).codec
    'codeckit:jpeg'
    """
    for profile in own().values():
        if profile.number == number:
            return profile
    raise StreamError(f"the stream names codec number {number}, which this version of codeckit does not have")
