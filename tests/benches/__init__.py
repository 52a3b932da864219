"""Benches: each prints, as its last line, one JSON object with its figures, a peer's, and their ratio."""
