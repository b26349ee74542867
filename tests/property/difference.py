"""What all parts of the property test raise."""


class Difference(Exception):
    """confcastd did something else than the model."""
