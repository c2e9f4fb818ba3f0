"""`hear-eval COMMAND`, also as `python -m evaluation COMMAND`."""

import sys
from collections.abc import Sequence

from tasks.command import Command, run_named

COMMANDS = {
    "run": Command("evaluation.run", "evaluate HEAR modules on tasks: embed, train, tabulate; resumes"),
    "plan": Command("evaluation.cli.plan", "what a run would need in data, disk, memory and time"),
    "status": Command("evaluation.cli.status", "what of a run is done, missing or failed"),
    "report": Command(
        "evaluation.cli.report", "tables, statistics, figures and the page of one or several runs"
    ),
    "verify": Command("evaluation.cli.verify", "check a run's hashes and scores, and train some fits again"),
    "models": Command("evaluation.cli.models", "the systems of the paper's Table 1, and their weights"),
    "crosscheck": Command("evaluation.cli.crosscheck", "let the real heareval judge exported embeddings"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; return its exit status."""
    about = "Evaluate audio representations the way HEAR does."
    return run_named("hear-eval", about, COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
