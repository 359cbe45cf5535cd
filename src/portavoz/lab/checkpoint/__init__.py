"""The weights desk: every tensor of a checkpoint accounted for, before anything runs."""
