"""Ports of the encoder: faultless ones in other words, and ones with a mistake in such a port."""

from __future__ import annotations

from . import encoder
from .scene import Port, Scene, faulty, precisions

L0, L1, SOFT = r"layers\.0\.", r"layers\.1\.", r"layers\.%d/softmax\.0$"
BARE = {"linear": "matmul", "norm": "hand", "gelu": "hand", "softmax": "hand"}

CLEAN = [
    Port("x @ w.T", {"linear": "matmul"}),
    Port("x @ weights kept [in, out]", {"linear": "right"}),
    Port("addmm on flat rows", {"linear": "addmm"}),
    Port("einsum for every matrix", {"linear": "einsum", "attend": "einsum"}),
    Port("baddbmm", {"linear": "bmm"}),
    Port("convolutions of width 1", {"linear": "conv"}),
    Port("w @ x, channels first", {"linear": "left"}),
    Port("packed q, k and v", {"qkv": "packed", "attend": "fused"}),
    Port("packed and x @ w.T", {"qkv": "packed", "linear": "matmul"}),
    Port("q, k and v interleaved by head", {"qkv": "interleaved"}),
    Port("packed k and v", {"qkv": "kv", "attend": "bmm"}),
    Port("the scale folded into q's weights", {"qkv": "scaled"}),
    Port("the scale folded, the fused kernel", {"qkv": "scaled", "attend": "fused"}),
    Port("the scale on the queries", {"scale": "queries"}),
    Port("nn.MultiheadAttention", {"attend": "module"}),
    Port("head by head", {"attend": "heads"}),
    Port("queries in chunks", {"attend": "chunks"}),
    Port("heads in the batch", {"attend": "bmm", "softmax": "hand"}),
    Port("a norm by hand", {"norm": "hand"}),
    Port("a norm by moments", {"norm": "moments"}),
    Port("a gelu by hand", {"gelu": "hand"}),
    Port("everything by hand", {**BARE, "lookup": "index"}),
    Port("a finite mask", {"mask": "finite"}),
    Port("a mask of the least number", {"mask": "least", "attend": "einsum"}),
    Port("a mask that is added", {"mask": "added"}),
    Port("row by row", {"rows": "apart"}),
    Port("row by row, x @ w.T", {"rows": "apart", "linear": "matmul", "qkv": "packed"}),
]


FAULTS = [
    faulty("no scale", "edge:" + SOFT % 1, "scale", at=1, qkv="packed"),
    faulty("wide scale", "edge:" + SOFT % 0, "scale", linear="matmul"),
    faulty("mask late", "edge:" + SOFT % 0, "mask|place", qkv="packed"),
    faulty("no mask", "edge:" + SOFT % 0, "mask", linear="right"),
    faulty("last query", "edge:" + SOFT % 1, "only .*differ|query", at=1, attend="einsum"),
    faulty("k and v exchanged", "edge:" + SOFT % 0, "scores of .*q and .*v|v .*where k", linear="matmul"),
    faulty("heads", rf"edge:{L0}(softmax|out)|edge:{L0[:-2]}/softmax", "heads|scores", at=0),
    faulty("merged", rf"edge:{L0}out$", "heads|reshape|transpose", linear="matmul"),
    faulty("residual of the norm", rf"edge:{L0}norm2$", "norm1", qkv="packed"),
    faulty("twice", rf"edge:{L1}norm1$", "down", at=0, linear="conv"),
    faulty("eps", rf"(leaf|facts):{L0}norm1$", "eps"),
    Port("eps, by hand", {"fault": "eps", "norm": "hand", "at": 1}, rf"(edge|leaf):{L1}(norm1|[qkv])$", "eps|gain"),
    faulty("unbiased", rf"(edge|leaf):{L1}(norm1|[qkv])$", "n − 1|gain|scale", at=1),
    faulty("tanh", rf"(leaf|facts):{L1[:-2]}/gelu", "tanh|approximate", at=1),
    faulty("relu", rf"(edge|leaf):{L0}(down$|.*gelu)|leaf:{L0[:-2]}/gelu.0|edge:{L0}down", "relu", at=0),
    faulty("up stale", rf"(leaf|weights):{L0}up$", "numbers|weights|stale|rows", linear="matmul"),
    faulty("out transposed", rf"(leaf|weights):{L1}out$", "transposed", at=1, linear="matmul"),
    faulty("down without bias", rf"(leaf|weights):{L0}down$", "bias", linear="right"),
    faulty("stale fold", rf"(leaf|weights|edge):{L0}q$|edge:{SOFT % 0}", "numbers|weights|other", qkv="scaled"),
    faulty("places late", rf"(edge|leaf|value):(places|{L0}norm1)$", "shift|step|position|other|ids|off by one"),
    faulty("letters scaled", rf"edge:{L0}norm1$", "times|gain|scale|sum"),
    faulty("axis", rf"(leaf|edge):{L0}(softmax|out)|(leaf|edge):{L0[:-2]}/softmax", "axis|softmax", at=0),
    faulty("output turned", r"(shape|layout|value|edge):result$", "axes|transposed|layout"),
    faulty("first symbol lost", r"shape:(letters|places|layers\.0\.norm1)$", "first"),
    faulty("symbol in front", r"shape:(letters|places|layers\.0\.norm1)$", "front|first"),
]  # fmt: skip

ONE_ROW = [
    Port("one row, everything by hand", BARE),
    Port("one row, packed", {"qkv": "packed", "attend": "fused"}),
    Port("one row: q without its bias", {"fault": "q without bias"}, rf"(leaf|weights):{L0}q$", "bias"),
    Port("one row: other numbers in v", {"fault": "v stale"}, rf"(leaf|weights):{L0}v$", "numbers|weights|rows"),
    Port("one row: no scale", {"fault": "no scale"}, "edge:" + SOFT % 0, "scale"),
]
SCENES = [
    Scene("encoder", encoder.Encoder, encoder.inputs, encoder.port, [*CLEAN, *FAULTS, *precisions(CLEAN[:9])]),
    Scene("encoder, one row", encoder.Encoder, encoder.single, encoder.port, ONE_ROW),
]
