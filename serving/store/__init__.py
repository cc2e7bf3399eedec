"""What the service remembers: facts of deals, latest scores, forecasts, and the ledger of every score it gave."""
