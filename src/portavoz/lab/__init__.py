"""The lab: our models beside the ones that they must equal."""
