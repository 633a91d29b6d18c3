"""Exposure: where a planted secret ranks among all secrets that could stand in its place."""
