"""The type check that pytest puts on every function of portavoz: beartype, where an int is welcome as a float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
