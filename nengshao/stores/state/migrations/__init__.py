"""The schema's history: one revision per change, applied by `upgrade.upgrade_schema`."""
