"""What a run directory holds: ledger, jobs, run.json, predictions, and reading them back."""
