"""Made-up records for an audit of what a training keeps: what they are, how they are drawn, where they are sealed."""
