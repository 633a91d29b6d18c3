"""What a training reads: records, labels, tokens, batches, and whose each record is."""
