"""Max-min fair shares of a limit, for transfers of one machine and for machines of a fleet."""


def max_min_shares(demands: list[float], limit: float) -> list[float]:
    """Share a limit max-min fairly: small demands are granted whole, the rest is shared equally by the larger.

    The result sums to `limit`: what no demand needs is spread over all, so that a demand can grow.
    """
    if not demands:
        return []
    shares = [0.0] * len(demands)
    left = limit
    for at, index in enumerate(sorted(range(len(demands)), key=lambda each: demands[each])):
        shares[index] = min(demands[index], left / (len(demands) - at))
        left -= shares[index]
    return [share + left / len(demands) for share in shares]
