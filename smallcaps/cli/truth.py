"""What `smallcaps detectors truth` prints."""

from rich.table import Table as RichTable

from smallcaps.cli.console import output
from smallcaps.serving.detection_page import DetectionTruth, interval, lead
from smallcaps.serving.detection_plants import CLEAR, NEAR_MISS
from smallcaps.serving.page import known, percent


def show_truth(truth: DetectionTruth) -> None:
    """Print the two tables: plants in units of the threshold, and the market's own episodes."""
    planted = RichTable(
        "detector", "plants", f"found at {CLEAR:g}", f"at {NEAR_MISS:g}", "without", "naive", "lead", "bar",
        title=f"Planted, in thresholds; seed {truth.settings['seed']}",
    )  # fmt: skip
    for one in truth.planted:
        shares = (interval(one.at(multiple).found) for multiple in (CLEAR, NEAR_MISS, 0.0))
        naive = interval(one.naive_recall) if one.naive_recall else "–"
        plants = f"{one.at(CLEAR).plants:,}"
        planted.add_row(one.detector, plants, *shares, naive, lead(one.lead), "; ".join(one.fails) or "met")
    own = RichTable(
        "detector", "alerts", "episodes", "precision", "recall", "F1", "naive", "random", "lead",
        title="The market's own episodes",
    )  # fmt: skip
    for found in truth.found:
        score = found.score
        counts = (f"{score.alerts:,}", f"{score.episodes:,}")
        rivals = (percent(known(rival.f1), digits=0) for rival in (found.naive, found.random))
        ours = (interval(one) for one in (score.precision, score.recall, score.f1))
        own.add_row(found.detector, *counts, *ours, *rivals, lead(found.lead))
    output.print(planted, own)
