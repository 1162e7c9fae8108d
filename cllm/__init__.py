"""A private language model of your own repository, trained from scratch on an ordinary CPU."""

__version__ = "0.1.0"
