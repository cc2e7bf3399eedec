"""What was known, and when: canonical CRM tables, the sources that fill them, timelines and the features built from them."""
