"""Room: detectors. Each is declared once; all of a grain are compiled into one windowed SQL statement."""
