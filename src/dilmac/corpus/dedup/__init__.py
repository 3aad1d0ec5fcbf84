"""Which documents are the same, or nearly, over a corpus of any size."""
