"""Inputs made to harm whoever audits them, built by code; every payload only writes a marker file."""
