"""Whether a perturbed text still means and reads like the original: measured once per pair, judged later from rows."""
