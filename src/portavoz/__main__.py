"""``python -m portavoz`` is the command ``portavoz``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
