"""What a file of training texts holds: an exact index of its strings, and a report of what would be learnt too well."""
