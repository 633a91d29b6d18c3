"""The catalogues of `harness/base/language.py`: taken from the code, brought up to date, compiled."""
