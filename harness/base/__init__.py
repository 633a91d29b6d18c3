"""What every room needs and none is about: files, YAML to models, caps, plug-ins, words for numbers."""
