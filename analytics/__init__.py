"""From readings to judgement: energy per interval, standard coal, quota progress, rules, alerts."""
