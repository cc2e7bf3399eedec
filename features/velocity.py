"""Deal velocity: how fast a deal moves through its stages, and how its close date moves.

Counts are changes. A push is a change to a later close date, a pull-in to an earlier one; net push days are positive
when the deal moved out. The closing row is never a change. Definitions: change log as in Salesforce OpportunityHistory;
pushed out and pulled in as in Gong help article 7251552457101.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView
from features.periods import DAY
from features.registry import Columns, Context, Feature, feature_group

DAYS_FLOOR = 7.0  # a rate over less than a week of life is noise

SPECS = (
    Feature(
        "days_in_stage",
        "days",
        "{value} days in this stage; deals like this usually {usual}",
        missing="no history",
        factor="pace",
    ),
    Feature(
        "stages_per_30d",
        "stages / 30 days",
        "moves {value} stages a month; deals like this usually {usual}",
        missing="deal not known",
        style=".1f",
        factor="pace",
    ),
    Feature(
        "stages_gained_30d",
        "stages",
        "stages gained in 30 days: {value} (minus is back); deals like this usually {usual}",
        factor="pace",
    ),
    Feature(
        "stage_regressions",
        "changes",
        "went back a stage {value} times; deals like this usually {usual}",
        factor="pace",
    ),
    Feature(
        "stages_skipped",
        "stages",
        "skipped {value} stages; deals like this usually {usual}",
        factor="pace",
    ),
    Feature(
        "slips",
        "changes",
        "close date was moved past the end of its period {value} times; deals like this usually {usual}",
        sign=-1,
        factor="close_date",
        source="Gong help 7251552457101: pushed out (slipped)",
    ),
    Feature(
        "pushes",
        "changes",
        "close date moved out {value} times; deals like this usually {usual}",
        sign=-1,
        factor="close_date",
    ),
    Feature(
        "pushes_30d", "changes", "close date moved out {value} times in 30 days; usually {usual}", factor="close_date"
    ),
    Feature(
        "pull_ins", "changes", "close date moved in {value} times; deals like this usually {usual}", factor="close_date"
    ),
    Feature(
        "net_push_days",
        "days",
        "close date stands {value} days from where it began (plus is later); usually {usual}",
        style="+.0f",
        factor="close_date",
    ),
    Feature(
        "days_since_push",
        "days",
        "close date was last moved out {value} days ago; usually {usual}",
        missing="never pushed",
        unknown="the close date was never moved out",
        factor="close_date",
    ),
    Feature(
        "days_since_rep_edit",
        "days",
        "the rep last changed the record {value} days ago; usually {usual}",
        missing="the rep never changed it",
        unknown="the rep never changed the record",
        factor="pace",
    ),
)


@feature_group("velocity", SPECS, source="Salesforce OpportunityHistory; Gong help 7251552457101")
def velocity(view: AsOfView, context: Context) -> Columns:
    """Return the velocity columns for every request; see the module docstring."""
    history = view.of("history")
    month = 30 * DAY
    months_open = np.maximum(view.days_since_created(), DAYS_FLOOR) / 30.0
    return {
        "days_in_stage": history.days_since("stage_changed"),
        "stages_per_30d": history.total("stage_step") / months_open,
        "stages_gained_30d": history.total("stage_step", within=month),
        "stage_regressions": history.count("regressed"),
        "stages_skipped": history.total("stages_skipped"),
        "slips": history.count("slipped"),
        "pushes": history.count("pushed"),
        "pushes_30d": history.count("pushed", within=month),
        "pull_ins": history.count("pulled_in"),
        "net_push_days": history.total("close_shift_days"),
        "days_since_push": history.days_since("pushed"),
        "days_since_rep_edit": history.days_since("by_rep"),
    }
