"""Reference data into raw and bronze: spark-submit --jars "$(smallcaps jars)" jobs/ingest_reference.py --splits FILE"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "reference", *sys.argv[1:]]))
