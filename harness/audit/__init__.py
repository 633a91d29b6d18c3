"""An audit from its spec to its verdict: spec, plan, cost, run, repeats."""
