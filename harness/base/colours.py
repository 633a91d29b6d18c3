"""Colours of charts: Okabe and Ito 2008, told apart with any colour vision; shapes and dashes repeat what they say.

Their yellow is left out, which paper does not show, and their black, which a dark ground does not.
"""

from __future__ import annotations

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREY = "#7F7F7F"
"""For what is beside the point: chance, no gate, a control."""
GREY_TEXT = "#767676"
"""Can be read on white and on black (WCAG 2.2, 1.4.3)."""
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
"""Of curves in one plot, in this order."""
PALE_BLUE, WHITE = "#EAF3FA", "#F7F7F7"
"""Light ends of a scale from little to much, and the middle of one between two sides."""
