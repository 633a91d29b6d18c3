"""What attacks read besides the checkpoint: WordNet, word vectors, a POS tagger, a sentence encoder, masked LMs."""
