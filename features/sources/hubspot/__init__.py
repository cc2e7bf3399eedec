"""Source `hubspot`: a folder of exports; contacts as leads, by the dated history of their lifecycle stage."""
