"""The page of an audit, opened in a real browser (session `browser` of nox)."""
