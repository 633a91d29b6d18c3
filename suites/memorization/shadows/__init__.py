"""Shadow models: trained as the checkpoint was, each on half of its records by fair coins, for attacks to compare."""
