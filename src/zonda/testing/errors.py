"""What goes wrong with the server of a test, rather than with the application."""

__all__ = ["LiveServerError"]


class LiveServerError(RuntimeError):
    """The server is not in the state that it should be in; the message says why."""
