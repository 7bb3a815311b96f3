"""The runs as OpenLineage events: spark-submit --jars "$(smallcaps jars)" jobs/lineage.py"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["lineage", *sys.argv[1:]]))
