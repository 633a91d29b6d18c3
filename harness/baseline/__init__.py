"""Another audit beside this one: found, paired case by case, judged."""
