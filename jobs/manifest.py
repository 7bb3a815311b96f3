"""The CORE manifest of all events: spark-submit --jars "$(smallcaps jars)" jobs/manifest.py --top N"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["manifest", *sys.argv[1:]]))
