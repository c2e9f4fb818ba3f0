"""The commands of `hear-mwmae`: what they take and print."""
