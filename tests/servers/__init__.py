"""The real Mosquitto, InfluxDB and PostgreSQL, started from the settings in `deploy/`.

`plugin` has the fixtures; `install` (`make servers`) brings what a machine lacks.
"""
