"""The proof for every size, with z3."""
