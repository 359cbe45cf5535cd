"""The steps of `portavoz doctor`: one sentence through a voice. Each step returns a description of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..input_files import is_file

if TYPE_CHECKING:
    from ..voice import Voice


def steps(name: str | None, open_voice: Callable[[], Voice]) -> Iterator[Callable[[], str]]:
    """The steps for the requested voice, in order; those after the first need an opened voice."""
    from .. import families

    opened: list[Voice] = []

    def voice() -> str:
        """Open the voice, all of its files compared with their checksums."""
        from ..folder import describe, is_checkpoint, verify
        from ..loading.locate import locate

        folder = locate(name)
        checked = is_file(folder / "voice.json") and not is_checkpoint(folder)
        if checked:
            verify(folder, describe(folder))
        opened.append(open_voice())
        one = opened[0]
        speakers = f"{len(one.speakers)} speakers" if one.speakers else "no speaker came with it"
        return f"{one.name} on {one.runtime}, {'checksums right' if checked else speakers}"

    yield voice
    family = families.get(opened[0].about["family"]) if opened else None
    if family is not None and family.health is not None:
        yield from family.health()(opened[0].model)
