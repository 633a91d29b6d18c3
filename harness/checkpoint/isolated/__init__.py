"""A process of its own for whatever parses a checkpoint first: limited, without network, without a place to write."""
