"""Which windows of ticks the manifest asks for: spark-submit --jars "$(smallcaps jars)" jobs/manifest_plan.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["manifest", "plan", *sys.argv[1:]]))
