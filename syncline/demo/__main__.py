"""`python -m syncline.demo --picture docs/images/demo.svg`: the demo, kept as a picture."""

import argparse
import sys
from pathlib import Path

from syncline.demo import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m syncline.demo", description=__doc__)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--project", type=Path)
    parser.add_argument("--picture", type=Path)
    sys.exit(main(**vars(parser.parse_args())))
