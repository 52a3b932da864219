"""Telling people: the pipeline of stages, and one module per channel."""
