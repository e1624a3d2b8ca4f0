"""`python -m chatlab` is `chatlab`."""

from chatlab.cli import main

main()
