"""Ids of one tokenizer to ids of another."""
