"""The domain: codes, units, time, factors, rules and alerts as values; standard library only."""
