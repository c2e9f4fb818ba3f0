"""Numbers in, numbers out: intervals, significance, the overall score, published results."""
