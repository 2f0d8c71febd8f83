"""`python -m worker.cli`, where the command `callsheet` is not installed."""

from worker.cli import main

main(prog_name="callsheet")
