"""REST endpoints into bronze.

spark-submit --jars "$(smallcaps jars)" jobs/ingest_rest.py --endpoints tickers,splits --from D --to D
"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["ingest", "rest", *sys.argv[1:]]))
