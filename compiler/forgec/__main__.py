"""`python -m forgec`, the same as `forgec`."""

import sys

from forgec.cli import main

sys.exit(main())
