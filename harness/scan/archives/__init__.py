"""Archives and compressed streams, read member by member without unpacking to disk."""
