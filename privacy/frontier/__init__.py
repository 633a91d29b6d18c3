"""The privacy-utility frontier: models trained over a grid of epsilons and seeds, and what privacy cost them."""

from privacy.frontier.grid import Grid, make_grid
from privacy.frontier.measure import Frontier, measure
from privacy.frontier.rows import read_frontier
from privacy.frontier.run import FrontierResult, run_frontier

__all__ = ["Frontier", "FrontierResult", "Grid", "make_grid", "measure", "read_frontier", "run_frontier"]
