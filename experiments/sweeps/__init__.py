"""Sets of recipes to be compared: files that define get_sweep() -> {name: Config}."""
