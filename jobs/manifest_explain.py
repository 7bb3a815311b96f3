"""Why an event is in the CORE manifest, or is not: spark-submit --jars "$(smallcaps jars)" jobs/manifest_explain.py EVENT"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["manifest", "explain", *sys.argv[1:]]))
