"""People: who takes part on the buyer's side, how high it reaches, and whether somebody who decides is among them.

Seniority runs from 0 (staff) to 4 (C-level); a senior is a director or above. Roles and seniority count from when the
CRM had them, and only where the source has them with a history or the mapping declares them fixed.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView
from features.columns import number
from features.periods import DAY
from features.registry import OWN, Columns, Context, Feature, feature_group

SPECS = (
    Feature(
        "contacts_known", "people", "{value} people are on the deal; deals like this usually {usual}", factor="people"
    ),
    Feature(
        "contacts_new_30d",
        "people",
        "{value} people joined the deal in 30 days; deals like this usually {usual}",
        factor="people",
    ),
    Feature(
        "contacts_active_30d",
        "people",
        "{value} people took part in 30 days; deals like this usually {usual}",
        factor="people",
        source="Gong win rates by contacts on the deal",
    ),
    Feature(
        "seniority_reached",
        "rank",
        "the most senior person on the deal is {value}; deals like this usually reach {usual}",
        missing="no seniority known",
        unknown="nobody's seniority is known",
        words=("staff", "a manager", "a director", "a vice president", "C-level"),
        factor="people",
    ),
    Feature(
        "senior_active_90d",
        "activities",
        "directors and above took part {value} times in 90 days; deals like this usually {usual}",
        factor="people",
    ),
    Feature(
        "decision_maker",
        "0 or 1",
        "somebody who decides is on the deal: {value}; usually {usual}",
        words=("no", "yes"),
        factor="people",
        source="MEDDIC: economic buyer",
    ),
)


@feature_group("people", SPECS, source=OWN)
def people(view: AsOfView, context: Context) -> Columns:
    """Return the people columns for every request; see the module docstring."""
    contacts, activities = view.of("contacts"), view.of("activities")
    return {
        "contacts_known": contacts.distinct("contact"),
        "contacts_new_30d": contacts.count("joined", within=30 * DAY),
        "contacts_active_30d": activities.distinct("contact", "buyer", within=30 * DAY),
        "seniority_reached": number(contacts.latest("rank")),
        "senior_active_90d": activities.count("senior_buyer", within=90 * DAY),
        "decision_maker": (contacts.count("decides") > 0).astype(np.float64),
    }
