"""Predictors of the next token, prompt encoding and sampling."""
