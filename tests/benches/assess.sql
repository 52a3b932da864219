-- From register reads to standard coal per point and accounting day, as `analytics.assessment` says it, written
-- the way one would in SQL: windows over each point's reads. {reading} is a table or a file of READINGS.
--
-- point: POINTS with `on_from`, `on_to` (its duty) and `factor_class`, an open end closed. factor_day:
-- conversion.FACTOR_DAYS.
-- The rules: a single wrong read between two that agree is left out; what remains implausible has no amount; a
-- fall may be a rollover, a rise has no amount where the register may have gone round besides; up to 1.5 cadences measured (1), up to max_estimate_s estimated (2), beyond it a block
-- (3); days cut amounts cumulatively, rounded half to even; missing is never zero.
--
-- Made as fast as we could (processor time of DuckDB 2.0, against the first version): two windows instead of three,
-- through which only narrow rows go, what else the registry says joined behind them; 64-bit products, which DuckDB
-- refuses to overflow, instead of 128; qualities as numbers. Slower were: all neighbours from one window; windows
-- over the whole table in its stored order.
WITH reads AS (
    SELECT point, ts, value, capacity, register_modulus
    FROM {reading} JOIN point USING (point)
    WHERE valid AND ts >= valid_from AND ts <= valid_to
), looked_at AS (
    SELECT *,
        agrees(lag(value) OVER w, lag(ts) OVER w, value, ts, capacity, register_modulus) AS agrees_before,
        agrees(value, ts, lead(value) OVER w, lead(ts) OVER w, capacity, register_modulus) AS agrees_after,
        agrees(lag(value) OVER w, lag(ts) OVER w, lead(value) OVER w, lead(ts) OVER w, capacity, register_modulus)
            AS agrees_across
    FROM reads WINDOW w AS (PARTITION BY point ORDER BY ts)
), suspected AS (
    SELECT *, agrees_across AND NOT (agrees_before AND agrees_after) AS is_candidate FROM looked_at
), judged AS (
    SELECT point, ts, value, register_modulus, agrees_before,
        is_candidate AND NOT coalesce(lag(is_candidate) OVER w, false) AS is_left_out,
        coalesce(lag(is_candidate) OVER w AND NOT coalesce(lag(is_candidate, 2) OVER w, false), false) AS skips,
        lag(ts) OVER w AS ts_1, lag(value) OVER w AS value_1,
        lag(ts, 2) OVER w AS ts_2, lag(value, 2) OVER w AS value_2
    FROM suspected WINDOW w AS (PARTITION BY point ORDER BY ts)
), pairs AS (
    SELECT point, ts, value, register_modulus,
        if(skips, ts_2, ts_1) AS start, if(skips, value_2, value_1) AS before
    FROM judged WHERE NOT is_left_out AND (agrees_before OR skips) AND ts_1 IS NOT NULL
), segment AS (
    SELECT point, on_from, on_to, start, ts AS stop,
        milli(value) - milli(before) + if(value < before, milli(pairs.register_modulus), 0) AS amount,
        CASE WHEN 2 * (ts - start) <= 3 * cadence_s THEN 1 WHEN ts - start <= max_estimate_s THEN 2 ELSE 3 END
            AS quality
    FROM pairs JOIN point USING (point)
    WHERE ts >= valid_from AND ts <= valid_to
), clipped AS (
    SELECT point, start, stop, quality, if(quality = 3, NULL, amount) AS amount,
        greatest(start, on_from, $start) AS low, least(stop, on_to, $end) AS high
    FROM segment
    WHERE stop > $start AND start < $end AND greatest(start, on_from, $start) < least(stop, on_to, $end)
), spread AS (
    SELECT *, low AS part_low, high AS part_high, accounting_day(low) AS day, amount AS part_amount
    FROM clipped WHERE accounting_day(low) = accounting_day(high - 1) AND low = start AND high = stop
    UNION ALL
    SELECT * EXCLUDE (bucket), bucket AS day,
        quotient(amount::HUGEINT * (part_high - start), stop - start)
        - quotient(amount::HUGEINT * (part_low - start), stop - start) AS part_amount
    FROM (
        SELECT *, greatest(low, bucket * 86400 - 28800) AS part_low,
            least(high, (bucket + 1) * 86400 - 28800) AS part_high
        FROM (
            SELECT *, unnest(range(accounting_day(low), accounting_day(high - 1) + 1)) AS bucket
            FROM clipped WHERE NOT (accounting_day(low) = accounting_day(high - 1) AND low = start AND high = stop)
        )
    )
), covered AS (
    SELECT point, day, sum(part_amount) AS amount,
        sum(if(quality = 1 AND stop - start <= 86400, part_high - part_low, 0)) AS measured_s,
        sum(if(quality = 2 OR quality = 1 AND stop - start > 86400, part_high - part_low, 0)) AS estimated_s
    FROM spread GROUP BY point, day
), duty AS (
    SELECT enterprise, point, factor_class, unnest(range(
        accounting_day(greatest(on_from, $start)), accounting_day(least(on_to, $end) - 1) + 1)) AS day
    FROM point
)
SELECT enterprise, duty.point, duty.day,
    if(measured_s + estimated_s > 0, amount, NULL)::BIGINT AS amount,
    coalesce(measured_s, 0)::BIGINT AS measured_s,
    coalesce(estimated_s, 0)::BIGINT AS estimated_s,
    quotient(if(measured_s + estimated_s > 0, amount, NULL)::HUGEINT * calorific_num, calorific_den)::BIGINT
        AS calorific_g
FROM duty LEFT JOIN covered USING (point, day) LEFT JOIN factor_day USING (factor_class, day)
ORDER BY enterprise, duty.point, duty.day
