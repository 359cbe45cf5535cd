"""References that no family of ours is a port of. A family's own is in its folder."""
