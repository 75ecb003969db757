"""Hazards in a running program: what it does that will hurt its SQLite database later.

    with crashlab.hazards.watch() as seen:
        main()
    for hazard in seen.hazards:
        print(crashlab.hazards.whole(hazard))

Also `pytest --crashlab-hazards=warn|error` and `crashlab hazards -- python app.py`.
"""

from crashlab.diagnosis.hazards import (
    KINDS,
    CrashlabHazardWarning,
    Frame,
    Hazard,
    HazardsFoundError,
    Kind,
    Related,
    Severity,
    Watch,
    count_of,
    grouped,
    headline,
    watch,
    whole,
)

__all__ = [
    "KINDS",
    "CrashlabHazardWarning",
    "Frame",
    "Hazard",
    "HazardsFoundError",
    "Kind",
    "Related",
    "Severity",
    "Watch",
    "count_of",
    "grouped",
    "headline",
    "watch",
    "whole",
]
