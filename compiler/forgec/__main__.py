"""`python -m forgec`, the same as `forgec`."""

import sys

from forgec.cli.main import main

sys.exit(main())
