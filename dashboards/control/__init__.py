"""What auditors do from the pages: start, stop and resume audits, each in a process of its own."""
