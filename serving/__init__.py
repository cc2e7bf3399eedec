"""How people get the answers: pure scoring, the HTTP service around it, batch files, and their commands."""
