"""Attacks of TextAttack on many texts at once: their queries meet in one broker that feeds one model."""
