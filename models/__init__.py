"""What follows from the record: baselines, the close model, its reasons and its bundle."""
