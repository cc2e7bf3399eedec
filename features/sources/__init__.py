"""Sources of CRM records. Each turns what it finds into the canonical tables, or refuses it with all its faults."""
