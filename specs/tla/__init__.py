"""The formal model, in TLA+, and what checks it."""
