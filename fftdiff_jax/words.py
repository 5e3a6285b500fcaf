"""Words of messages."""


def counted(count: int, what: str) -> str:
    """ "1 photo", "2 photos"."""
    return f"{count} {what}{'' if count == 1 else 's'}"
