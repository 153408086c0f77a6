"""What stands in the way, as a sentence for whoever typed the command."""

from browserpool.model import errors


class Problem(errors.BrowserpoolError):
    """Something on this machine is missing, wrong or taken. The message says what, why, and how to mend it."""
