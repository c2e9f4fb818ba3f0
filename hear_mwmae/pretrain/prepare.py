"""`python -m hear_mwmae.pretrain.prepare`: the older spelling of `hear-mwmae prepare`."""

import sys

from hear_mwmae.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
