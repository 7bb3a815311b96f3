"""How often the daily detectors fire: spark-submit --jars "$(smallcaps jars)" jobs/detectors_account.py --from D --to D"""

import sys

from smallcaps.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["detectors", "account", *sys.argv[1:]]))
