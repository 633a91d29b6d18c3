"""The model as an attack calls it: by scores, by gradients; which tokens can be written."""
