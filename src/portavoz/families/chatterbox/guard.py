"""The alignment guard: the position of the speech in the text, from a few attention heads, and its consequences.

The reference's heuristics, number for number (its AlignmentStreamAnalyzer): no end before the text is through, and an
end when the last symbols last too long, when text is read again, or when a token repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NEVER = np.float32(2**15)  # safe in every precision of 16 bits or more
BACK, AHEAD = -4, 7  # symbols between two steps that are not a jump
LONGEST = 5  # summed attention: a fifth of a second on the last symbols


@dataclass(slots=True)
class AlignmentGuard:
    """One utterance's guard over `symbols` of text; `step` for each token before it is drawn."""

    symbols: int
    stop: int
    rows: list[Floats] = field(default_factory=list)
    steps: int = 0
    position: int = 0
    completed_at: int | None = None
    said: list[int] = field(default_factory=list)
    reason: str = ""

    def step(self, logits: Floats, attention: Floats, last: int) -> Floats:
        """logits [V] after the token `last`, attention [new steps, symbols] to the text → logits [V]."""
        attention = attention.copy()
        attention[:, self.steps + 1 :] = 0  # the text is not further than the speech can be
        self.rows.extend(attention)
        self.said = [*self.said[-7:], last]
        here = int(attention[-1].argmax())
        if BACK < here - self.position < AHEAD:
            self.position = here
        if self.completed_at is None and self.position >= self.symbols - 3:
            self.completed_at = len(self.rows)
        self.steps += 1
        if here < self.symbols - 3 and self.symbols > 5:
            logits = logits.copy()
            logits[self.stop] = -NEVER
        self.reason = self._over()
        if self.reason:
            logits = np.full_like(logits, -NEVER)
            logits[self.stop] = NEVER
        return logits

    def _over(self) -> str:
        """Why the utterance must end now; "" when it may go on."""
        if len(self.said) >= 3 and self.said[-1] == self.said[-2]:
            return f"token {self.said[-1]} came twice"
        after = self.rows[self.completed_at :] if self.completed_at is not None else []
        if not after:
            return ""
        seen = np.stack(after)
        if seen[:, -3:].sum(0).max() >= LONGEST:
            return "the last symbols lasted too long"
        again = seen[:, :-5]
        if again.shape[1] and again.max(1).sum() > LONGEST:
            return "the text was read again"
        return ""
