"""The error that every command ends with when its input is not valid."""


class InputError(Exception):
    """An error in what the user passed to a command, in a single line."""
