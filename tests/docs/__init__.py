"""The examples of README.md and specs/, run (session `docs` of nox)."""
