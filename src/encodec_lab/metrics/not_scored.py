"""What a metric raises instead of giving a number that means nothing."""


class NotScored(ValueError):
    """This pair of signals has no score under this metric; the message says why."""
