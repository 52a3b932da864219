"""Calendars as data: TOML rows of holidays and make-up working days by year, with source and confidence."""
