"""Signals that tell members from others, and how well they do; arrays in, arrays out. Higher: likelier a member."""
