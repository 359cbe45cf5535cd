"""A decoder that samples tokens until a last one, and how strangers write its loop: caches, penalties, thresholds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....ops.tap import tap
from .scene import Port, Scene, Weights, WrittenPort, faulty

WIDTH, TOKENS, END, MOST = 16, 24, 3, 7
TEMPERATURE, PENALTY, KEPT = 0.8, 1.3, 12


class Tokens(nn.Module):
    """First tokens [batch, 3] → all tokens that were drawn, and the scores of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(16, WIDTH)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, TOKENS)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.zeros(())
        for _ in range(MOST):
            steps = ids.shape[1]
            x = self.emb(ids) + self.places(torch.arange(steps))
            h = self.norm(x)
            scores = self.q(h) @ self.k(h).mT / WIDTH**0.5
            scores = scores.masked_fill(torch.ones(steps, steps, dtype=torch.bool).triu(1), float("-inf"))
            x = x + self.o(scores.softmax(-1) @ self.v(h))
            logits = self.head(x[:, -1])
            seen = logits.gather(1, ids)
            logits = logits.scatter(1, ids, torch.where(seen < 0, seen * PENALTY, seen / PENALTY)) / TEMPERATURE
            least = logits.topk(KEPT).values[:, -1:]
            chances = logits.masked_fill(logits < least, float("-inf")).softmax(-1)
            token = tap("token", torch.multinomial(chances, 1))
            ids = torch.cat([ids, token], 1)
            if bool((token == END).all()):
                break
        return ids[:, 3:], logits


def inputs(draw: torch.Generator) -> tuple[Tensor]:
    """First tokens of two rows."""
    return (torch.randint(4, TOKENS, (2, 3), generator=draw),)


class Written(WrittenPort):
    """The port: `how` says in which words, `fault` what is wrong."""

    def __init__(self, w: Weights, fault: str = "", how: str = "") -> None:
        super().__init__(w, fault, how)
        self.keys = self.values = torch.zeros(0)

    def linear(self, x: Tensor, name: str) -> Tensor:
        """One layer."""
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def state(self, ids: Tensor, start: int) -> Tensor:
        """The last step's state [batch, width]; with a cache only the tokens from `start` on are read."""
        part = ids[:, start:] if self.how == "a cache" else ids
        first = start if self.how == "a cache" else 0
        at = torch.arange(first, first + part.shape[1]) + (self.fault == "places late")
        at = at * 0 + 2 if self.fault == "the place of the prompt" and start else at
        x = F.embedding(part, self.w["emb.weight"]) + F.embedding(at, self.w["places.weight"])
        h = F.layer_norm(x, (WIDTH,), self.w["norm.weight"], self.w["norm.bias"])
        q, k, v = (self.linear(h, name) for name in "qkv")
        if self.how == "a cache":
            self.keys, self.values = (
                (k, v) if not start else (torch.cat([self.keys, k], 1), torch.cat([self.values, v], 1))
            )
            k, v = self.keys, self.values
        scores = torch.einsum("btc,bsc->bts", q, k) * WIDTH**-0.5
        hidden = torch.arange(k.shape[1]) > (first + torch.arange(q.shape[1]))[:, None]
        scores = scores.masked_fill(hidden, float("-inf"))
        return (x + self.linear(torch.einsum("bts,bsc->btc", scores.softmax(-1), v), "o"))[:, -1]

    def penalised(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Tokens that were said are less likely."""
        if self.fault == "penalty of the sign":
            return logits.scatter(1, ids, logits.gather(1, ids) / PENALTY)
        if self.fault == "penalty of the new ones" and ids.shape[1] > 3:
            ids = ids[:, 3:]
        seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
        return torch.where(seen, torch.where(logits < 0, logits * PENALTY, logits / PENALTY), logits)

    def kept(self, logits: Tensor) -> Tensor:
        """The most likely ones."""
        count = KEPT - 1 if self.fault == "one fewer" else KEPT
        if self.how == "sorted":
            rank = logits.argsort(-1, descending=True).argsort(-1)
            return torch.where(rank < count, logits, torch.tensor(float("-inf")))
        values, places = logits.topk(count)
        return torch.full_like(logits, float("-inf")).scatter(1, places, values)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The loop."""
        logits, start = torch.zeros(()), 0
        for _ in range(MOST):
            logits = self.linear(self.state(ids, start), "head")
            start = ids.shape[1]
            if self.fault == "temperature times":
                logits = self.penalised(logits, ids) * TEMPERATURE
            elif self.fault == "kept before the penalty":
                logits = self.penalised(self.kept(logits).clamp(min=-1e9), ids) / TEMPERATURE
            else:
                logits = self.penalised(logits, ids) / TEMPERATURE
            kept = self.kept(logits)
            if self.how == "by hand":
                shares = torch.exp(kept - kept.amax(-1, keepdim=True))
                chances = shares / shares.sum(-1, keepdim=True)
            else:
                chances = torch.softmax(kept, -1)
            token = tap("token", torch.multinomial(chances, 1))
            ids = torch.cat([ids, token], 1)
            if bool((token == END).all()) and self.fault != "the end is not seen":
                break
        return (ids if self.fault == "prompt given back" else ids[:, 3:]), logits


CHANCES = r"edge:/(softmax|chances)\.\d+$"
SCENE = Scene(
    "tokens", Tokens, inputs, Written.port,
    [
        *(Port(how or "as the reference", {"how": how}) for how in ("", "a cache", "sorted", "by hand")),
        faulty("places late", r"(edge|leaf):(places|norm)$", "off|late|shift|position"),
        faulty("the place of the prompt", r"(edge|leaf|shape):(places|norm)$", "position|differ|off", how="a cache"),
        faulty("penalty of the sign", CHANCES, "differ|mask"), faulty("penalty of the new ones", CHANCES, "differ"),
        faulty("one fewer", CHANCES, "mask"), faulty("temperature times", CHANCES, "gain"),
        Port("one fewer, by hand", {"fault": "one fewer", "how": "by hand"}, CHANCES, "mask|differ"),
        faulty("kept before the penalty", CHANCES[:-1] + r"$|value:result\.1$", "differ|mask"),
        faulty("prompt given back", r"(shape|value):result$", "in front"),
    ],
)  # fmt: skip
