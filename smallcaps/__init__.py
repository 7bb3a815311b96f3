"""smallcaps: finds, studies, models and trades extraordinary moves in US small-cap stocks."""
