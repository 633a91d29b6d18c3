"""`python -P -m harness.cli ...`: the command line where there is no script `assay`."""

from harness.cli import main

if __name__ == "__main__":
    main()
