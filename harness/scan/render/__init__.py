"""A scan's report for a terminal, as JSON and as SARIF."""
