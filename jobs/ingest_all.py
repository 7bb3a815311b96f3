"""Everything that is taken in day by day: spark-submit --jars "$(smallcaps jars)" jobs/ingest_all.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "all", *sys.argv[1:]]))
