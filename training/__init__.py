"""How a model earns its place: snapshots, labels, splits, fits, backtests, gates, tracking and the command line."""
