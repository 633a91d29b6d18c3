"""What a report says, and at which level of disclosure; no format."""
