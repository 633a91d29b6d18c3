"""What all trainings in a folder have spent on the same records together, and the total that they must keep to."""

from privacy.budget.exposure import Exposure, exposures, exposures_of
from privacy.budget.find import find_trainings
from privacy.budget.found import Found, Reading, Training
from privacy.budget.report import report
from privacy.budget.spent import spent, write_spent
from privacy.budget.total import BUDGET_NAME, Total, budget_file, set_total

__all__ = [
    "BUDGET_NAME",
    "Exposure",
    "Found",
    "Reading",
    "Total",
    "Training",
    "budget_file",
    "exposures",
    "exposures_of",
    "find_trainings",
    "report",
    "set_total",
    "spent",
    "write_spent",
]
