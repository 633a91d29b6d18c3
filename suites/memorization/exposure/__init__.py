"""How far a planted secret stands out among all that might have been planted in its place, in bits."""
