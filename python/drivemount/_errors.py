"""What can go wrong.

All are ``ValueError``, which is what code written for hosted notebooks expects of ``drive.mount``.
"""

from __future__ import annotations


class DriveError(ValueError):
    """A command failed; the text is a sentence that says why and what to do.

    Attributes:
        exit_code: that of the command ``drivemount``, as its ``--help`` lists them.

    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """Keep the exit code beside the text."""
        super().__init__(message)
        self.exit_code = exit_code


class SignInRequired(DriveError):
    """Nobody is signed in, or the sign-in was refused."""

    def __init__(self, message: str, exit_code: int = 3) -> None:
        """Take the code of this kind."""
        super().__init__(message, exit_code)


class NotSent(DriveError):
    """Not everything is on the drive. It is kept on this machine, and sent as soon as that is possible."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        """Take the code of this kind."""
        super().__init__(message, exit_code)


class NotSentInTime(NotSent, TimeoutError):
    """The time ran out before everything was on the drive. Sending goes on."""
