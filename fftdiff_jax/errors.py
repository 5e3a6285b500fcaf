"""The one exception that is meant for the person at the keyboard."""


class UserError(ValueError):
    """Something the user can mend: one line that says what is wrong, where, and what to do."""
