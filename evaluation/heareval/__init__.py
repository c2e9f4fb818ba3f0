"""The original program's trees: in, out, and judged by it."""
