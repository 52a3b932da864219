"""Rules as data: TOML rows, each with its threshold, legal basis and confidence."""
