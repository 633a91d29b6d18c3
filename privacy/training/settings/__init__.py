"""What a training is told: the spec, its parts, defaults that suit noise, and how they are read."""
