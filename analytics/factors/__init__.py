"""Conversion factors as data: dated TOML rows, each with edition, source and confidence."""
