"""Chat templates: written by strangers, so rendered in a process that may do nothing else."""
