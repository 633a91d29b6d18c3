"""TextAttack's components with the same answers for less work: `speed_up(attack, memo)`."""

from suites.adversarial.faster.attack import speed_up
from suites.adversarial.faster.memo import Memo

__all__ = ["Memo", "speed_up"]
