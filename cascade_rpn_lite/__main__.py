"""``python -m cascade_rpn_lite`` is ``cascade-rpn``, also where nothing is installed yet."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
