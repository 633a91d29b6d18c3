"""The dashboard seen by a real browser: what its benchmark, its pictures and its tests share."""
