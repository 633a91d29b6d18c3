"""StereoSet: what a language model holds likelier in a context, a stereotype, its opposite or nonsense."""
