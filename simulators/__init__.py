"""A seeded fleet of enterprises with faults whose truth is known, and the replay of a real plant.

`loads` and `plants` say what runs, `traces` what every meter shows, `faults` and `injection` what goes wrong,
`stream` and `manual` what is sent and typed in, `statements` what is stated by the month and `targets` what
it is held to; `fleet` and `replay` put them together, `keeping` and `publisher` bring it to the broker, and
`scorer` compares an assessment with the truth.
"""
