"""`python -m evaluation.plan`: the older spelling of `hear-eval plan`."""

import sys

from evaluation.cli.plan import main

if __name__ == "__main__":
    sys.exit(main())
