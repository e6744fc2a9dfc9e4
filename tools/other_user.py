"""The options with which setpriv runs a command as another user of the operating system."""


def as_user(name: str) -> list[str]:
    """Return the options.

    Args:
        name: The user's name or id, which is also that of its group.
    """
    return [f"--reuid={name}", f"--regid={name}", "--clear-groups"]
