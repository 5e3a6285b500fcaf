"""Configurations that are known by their names: --config=quickstart."""
