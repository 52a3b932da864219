"""Chaos: the real stack under load, faults on a seeded schedule, and an audit afterwards.

`make chaos N=100`, or `python -m tests.chaos --help`; docs/durability.md says what each scenario proves.
"""
