"""The examples of README.md, docs/ and specs/, run (session `docs` of nox)."""
