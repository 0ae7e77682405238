"""What recipes say of networks that look up points of the target."""

DIRECTION = (
    "The authors look up points of the target, so the roles are swapped here: their target is the source. "
    "Where a list does not have every pair in both orders, as PF-PASCAL's, the split test-reversed asks what "
    "their program asked. "
)
