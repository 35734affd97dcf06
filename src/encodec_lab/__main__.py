"""`python -m encodec_lab` is the `encodec` command."""

from encodec_lab.cli.main import run

if __name__ == "__main__":
    run()
