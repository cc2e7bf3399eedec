"""What was known, and when: canonical tables, the sources that fill them, timelines, features."""
