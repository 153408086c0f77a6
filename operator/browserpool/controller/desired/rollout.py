"""How many browsers a change of template may take away at once."""


def allowed_away(wanted: int) -> int:
    """Browsers of a region that an update may have out of service together: a quarter of ``wanted``, at least one."""
    return max(1, wanted // 4)


def budget(*, wanted: int, most: int, claimed: int, in_service: int) -> int:
    """How many more an update may take away now.

    ``in_service`` are ready or about to be again. What claims leave of ``most`` bounds what can be ready at all, so that a fully
    claimed region does not look as if its update had broken it.
    """
    reachable = min(wanted, max(0, most - claimed))
    return max(0, allowed_away(wanted) - max(0, reachable - in_service))
