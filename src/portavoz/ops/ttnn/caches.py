"""Decode attention on the package ttnn: caches in pages, updated and read by the library's own kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .handle import Handle
from .schedule import TILE, Rule


class Caches:
    """The executor's caches. The library wants what it writes into one in a core's L1 for each row of the batch."""

    ttnn: Any
    device: Any

    def _dtype(self, name: str) -> Any: ...
    def _compute(self, rule: Rule) -> Any: ...
    def _like(self, x: Handle, tensor: Any, shape: Sequence[int] | None = None) -> Handle: ...

    def _paged_fill_cache(
        self, rule: Rule, cache: Handle, new: Handle, table: Handle | None = None, *, row: int
    ) -> Handle:
        t = self.ttnn
        x = t.typecast(new.tensor, self._dtype(rule.dtype))  # tiles are copied as they are
        if table is None:
            t.fill_cache(cache.tensor, x, row)
        else:
            t.experimental.paged_fill_cache(cache.tensor, x, table.tensor, batch_idx=row)
        return cache

    def _paged_update_cache(
        self, rule: Rule, cache: Handle, new: Handle, positions: Handle, table: Handle | None = None
    ) -> Handle:
        t, batch = self.ttnn, new.shape[1]
        cores = t.num_cores_to_corerangeset(batch, self.device.compute_with_storage_grid_size(), True)
        config = t.create_sharded_memory_config(
            (TILE, new.tensor.padded_shape[-1]), core_grid=cores, strategy=t.ShardStrategy.HEIGHT,
            use_height_and_width_as_shard_shape=True,
        )  # fmt: skip
        x = t.to_memory_config(new.tensor, config)
        named = {} if table is None else {"page_table": table.tensor}
        t.experimental.paged_update_cache(cache.tensor, x, update_idxs_tensor=positions.tensor, **named)
        return cache

    def _sdpa_decode(
        self, rule: Rule, q: Handle, keys: Handle, values: Handle, positions: Handle, *rest: Handle, scale: float,
        paged: bool,
    ) -> Handle:  # fmt: skip
        t = self.ttnn
        x = t.typecast(q.tensor, t.bfloat16)  # the library's decode attention has no queries in float32
        named: dict[str, Any] = {"scale": scale, "compute_kernel_config": self._compute(rule)}
        bias = rest[int(paged) :]
        named |= {"attn_mask": bias[0].tensor, "is_causal": False} if bias else {"cur_pos_tensor": positions.tensor}
        attention = t.transformer
        if paged:
            y = attention.paged_scaled_dot_product_attention_decode(
                x, keys.tensor, values.tensor, rest[0].tensor, **named
            )
        else:
            y = attention.scaled_dot_product_attention_decode(x, keys.tensor, values.tensor, **named)
        return self._like(q, y)
