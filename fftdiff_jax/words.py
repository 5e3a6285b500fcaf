"""Words of messages."""


def counted(count: int, what: str) -> str:
    """ "1 photo", "2 photos"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def one_line(text: object) -> str:
    """A text whose ends of lines are seen and not obeyed."""
    return "\\n".join(str(text).splitlines())
