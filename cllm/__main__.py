"""`python -m cllm`."""

import sys

from cllm.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
