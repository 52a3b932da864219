-- What `assess.sql` says by name. Quantities are integers: rounding is half to even.
CREATE MACRO accounting_day(ts) AS (ts + 28800) // 86400;
CREATE MACRO quotient(product, divisor) AS
    product // divisor
    + if(2 * (product % divisor) > divisor OR 2 * (product % divisor) = divisor AND (product // divisor) % 2 = 1, 1, 0);
CREATE MACRO milli(value) AS quotient(value, 1000);
CREATE MACRO agrees(before, since, value, ts, capacity, modulus) AS coalesce(
    if(
        value >= before,
        capacity IS NULL OR (value - before) * 3600 <= capacity * 1000 * (ts - since)
        AND coalesce(capacity * 1000 * (ts - since) < (value - before + modulus) * 3600, true),
        value - before + modulus >= 0
        AND (value - before + modulus) * 3600 <= capacity * 1000 * (ts - since)
        AND capacity * 1000 * (ts - since) < modulus * 3600
    ), false);
