"""Flat files into raw and bronze.

spark-submit --jars "$(smallcaps jars)" jobs/ingest_flatfiles.py --root DIR --kinds day_aggs_v1 --from D --to D
"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "flatfiles", *sys.argv[1:]]))
