"""View models and charts of what a training kept of its records, and of what it claims; rows and metrics in."""
