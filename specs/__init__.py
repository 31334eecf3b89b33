"""What the library does, for people, for model checkers and for other programs."""
