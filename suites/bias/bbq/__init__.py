"""BBQ: whether answers to questions follow stereotypes, where the text answers them and where it does not."""
